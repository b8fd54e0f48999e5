module fgspy/layouts

go 1.22
