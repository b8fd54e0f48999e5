//! Small executables made by hand, of every format, for tests that need no Go toolchain.
//!
//! Three functions: `main.outer` at the start of the text, 64 quanta long, with `main.inner` inlined into its last 32;
//! `main.outer.func1`, 16 quanta; `runtime.goexit`, 16 quanta.

/// Link-time address of the file's first byte.
pub(crate) const BASE: u64 = 0x40_0000;
/// Link-time address of the Go code.
pub(crate) const TEXT: u64 = BASE + 0x1000;
/// Link-time address and file offset of the data.
const DATA: u64 = BASE + 0x2000;
const DATA_OFFSET: usize = 0x2000;
/// Where in the file the constant with the version is.
const VERSION_OFFSET: usize = 0x800;

/// How the executable is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    /// The 27 of Go 1.27.
    pub(crate) minor: u16,
    pub(crate) arm64: bool,
    pub(crate) pie: bool,
    /// A PIE whose pointers are only in the relocation table, not in the words.
    pub(crate) zero_words: bool,
    pub(crate) sections: bool,
    pub(crate) build_info: bool,
}

impl Recipe {
    /// An executable for amd64 with everything in it.
    pub(crate) const fn plain(minor: u16) -> Recipe {
        Recipe { minor, arm64: false, pie: false, zero_words: false, sections: true, build_info: true }
    }

    /// Every combination that exists.
    pub(crate) fn all() -> Vec<Recipe> {
        let mut all = Vec::new();
        for minor in [17, 19, 25, 27] {
            for bits in 0..32u32 {
                let bit = |index: u32| bits >> index & 1 == 1;
                let (arm64, pie, zero_words, sections, build_info) = (bit(0), bit(1), bit(2), bit(3), bit(4));
                if pie || !zero_words {
                    all.push(Recipe { minor, arm64, pie, zero_words, sections, build_info });
                }
            }
        }
        all
    }

    pub(crate) const fn quantum(&self) -> u64 {
        if self.arm64 { 4 } else { 1 }
    }

    const fn magic(&self) -> u32 {
        match self.minor {
            ..=15 => 0xffff_fffb,
            16 | 17 => 0xffff_fffa,
            18 | 19 => 0xffff_fff0,
            _ => 0xffff_fff1,
        }
    }

    const fn gofunc_word(&self) -> usize {
        match self.minor {
            ..=19 => 38,
            20..=26 => 40,
            _ => 43,
        }
    }

    /// The file.
    pub(crate) fn build(&self) -> Vec<u8> {
        Builder { recipe: *self, data: Vec::new(), pointers: Vec::new() }.build()
    }
}

struct Builder {
    recipe: Recipe,
    data: Vec<u8>,
    /// Offsets in the data and values of the pointers.
    pointers: Vec<(usize, u64)>,
}

impl Builder {
    fn here(&self) -> u64 {
        DATA + self.data.len() as u64
    }

    fn align(&mut self, to: usize) {
        self.data.resize(self.data.len().next_multiple_of(to), 0);
    }

    fn word(&mut self, value: u64) {
        self.data.extend(value.to_le_bytes());
    }

    fn half(&mut self, value: u32) {
        self.data.extend(value.to_le_bytes());
    }

    fn pointer(&mut self, value: u64) {
        self.pointers.push((self.data.len(), value));
        self.word(value);
    }

    fn build(mut self) -> Vec<u8> {
        let absolute = self.recipe.minor <= 17;
        let q = self.recipe.quantum();

        // A variable like runtime.buildVersion, then build information.
        let version = format!("go1.{}.3", self.recipe.minor);
        let variable = self.here();
        self.pointer(BASE + VERSION_OFFSET as u64);
        self.word(version.len() as u64);
        let build_info = self.here();
        if self.recipe.build_info {
            self.build_info(&version, variable);
        }
        self.align(32);

        let tree = self.here();
        let (outer, inner, func1, goexit) = (0u32, 11, 22, 39);
        let call_at = 31 * q as u32;
        if self.recipe.minor >= 20 {
            [0, inner, call_at, 5].into_iter().for_each(|field| self.half(field));
        } else {
            [0xffff, 0, 0, inner, call_at].into_iter().for_each(|field| self.half(field));
        }
        self.align(32);

        // The function table: each part is at an offset from the header.
        let pclntab = self.here();
        let start = self.data.len();
        let header_size = if absolute { 64 } else { 72 };
        self.data.resize(start + header_size, 0);
        let offset = |builder: &Builder| (builder.data.len() - start) as u64;
        let names = offset(&self);
        self.data.extend(b"main.outer\0main.inner\0main.outer.func1\0runtime.goexit\0");
        self.align(8);
        let units = offset(&self);
        self.half(0);
        self.half(8);
        let files = offset(&self);
        self.data.extend(b"outer.go\0inner.go\0");
        // The second file's offset is 9, not 8: correct what was written before it was known.
        let second = start + units as usize + 4;
        self.data[second..second + 4].copy_from_slice(&9u32.to_le_bytes());
        self.align(8);
        let pc_values = offset(&self);
        // Offset 0 means "none". Value deltas are zigzag-encoded and start from -1.
        let tables: [(u32, &[u8]); 5] = [
            (1, &[2, 4, 48, 60, 0]),        // pcsp: 0 for 4, 24 for 60
            (6, &[2, 32, 2, 32, 0]),        // pcfile: 0 for 32, 1 for 32
            (11, &[22, 32, 169, 1, 32, 0]), // placeholder, overwritten below
            (17, &[0, 32, 2, 32, 0]),       // inline index: -1 for 32, 0 for 32
            (22, &[2, 16, 0]),              // 0 for 16
        ];
        self.data.push(0);
        for (_, table) in tables {
            self.data.extend(table);
        }
        // pcln: 10 for 32, 6 for 32.
        let pcln = start + pc_values as usize + 11;
        self.data[pcln..pcln + 6].copy_from_slice(&[22, 32, 7, 32, 0, 0]);
        self.align(8);

        let functions = offset(&self);
        let lengths = [64, 16, 16].map(|quanta| quanta * q);
        let entries = [0, lengths[0], lengths[0] + lengths[1], lengths.iter().sum()];
        let index = self.data.len();
        self.data.resize(index + if absolute { 16 * 3 + 8 } else { 8 * 3 + 4 }, 0);
        let mut records = Vec::new();
        for (number, name) in [outer, func1, goexit].into_iter().enumerate() {
            self.align(8);
            records.push(offset(&self) - functions);
            self.record(number, name, TEXT + entries[number], tree);
        }
        let table_end = self.here();
        self.index(index, &entries, &records);
        self.header(start, &[names, units, files, pc_values, functions]);

        self.align(32);
        let module = self.here();
        let parts = [names, units, files, pc_values, functions].map(|part| pclntab + part);
        self.module(pclntab, parts, table_end, TEXT + entries[3], tree);
        self.finish(pclntab, build_info, module)
    }

    fn build_info(&mut self, version: &str, variable: u64) {
        let module = "path\texample.com/cmd\nmod\texample.com\t(devel)\t\ndep\tx.org/y\tv1.2.3\nbuild\t-compiler=gc\n";
        let module = [&[b'<'; 16][..], module.as_bytes(), &[b'>'; 16]].concat();
        self.data.extend(b"\xff Go buildinf:");
        if self.recipe.minor >= 18 {
            self.data.extend([8, 2]);
            self.data.extend([0; 16]);
            self.data.push(version.len() as u8);
            self.data.extend(version.as_bytes());
            self.data.push(module.len() as u8);
            self.data.extend(module);
        } else {
            self.data.extend([8, 0]);
            self.pointer(variable);
            let string = self.here() + 8;
            self.pointer(string);
            self.pointer(string + 16);
            self.word(module.len() as u64);
            self.data.extend(module);
        }
    }

    /// A `_func`. The first function has an inlined call, the last is the end of stacks.
    fn record(&mut self, number: usize, name: u32, entry: u64, tree: u64) {
        let absolute = self.recipe.minor <= 17;
        let has_tree = number == 0;
        if absolute {
            self.pointer(entry)
        } else {
            self.half((entry - TEXT) as u32)
        }
        self.half(name);
        self.half(0); // args
        self.half(0); // deferreturn
        let tables = if has_tree { [1, 6, 11] } else { [22, 22, 22] };
        tables.into_iter().for_each(|table| self.half(table));
        self.half(if has_tree { 3 } else { 0 }); // npcdata
        self.half(0); // unit
        if self.recipe.minor >= 20 {
            self.half(8 + number as u32); // start line
        }
        let flags = u8::from(number == 2);
        self.data.extend([number as u8, flags, 0, if has_tree { 4 } else { 0 }]);
        if has_tree {
            [0, 0, 17].into_iter().for_each(|table| self.half(table));
            if absolute {
                self.align(8);
                [0, 0, 0].into_iter().for_each(|none| self.word(none));
                self.pointer(tree);
            } else {
                // gofunc is 64 below the tree, so that an offset of zero means nothing.
                [u32::MAX, u32::MAX, u32::MAX, 64].into_iter().for_each(|offset| self.half(offset));
            }
        }
    }

    fn index(&mut self, at: usize, entries: &[u64; 4], records: &[u64]) {
        for (number, entry) in entries.iter().enumerate() {
            let record = records.get(number).copied();
            if self.recipe.minor <= 17 {
                let at = at + 16 * number;
                self.put(at, &(TEXT + entry).to_le_bytes());
                self.pointers.push((at, TEXT + entry));
                record.into_iter().for_each(|record| self.put(at + 8, &record.to_le_bytes()));
            } else {
                let at = at + 8 * number;
                self.put(at, &(*entry as u32).to_le_bytes());
                record.into_iter().for_each(|record| self.put(at + 4, &(record as u32).to_le_bytes()));
            }
        }
    }

    fn header(&mut self, at: usize, parts: &[u64]) {
        let quantum = self.recipe.quantum() as u8;
        self.put(at, &self.recipe.magic().to_le_bytes());
        self.put(at + 4, &[0, 0, quantum, 8]);
        let mut words = vec![3, 2];
        if self.recipe.minor >= 18 {
            words.push(if self.recipe.minor >= 26 { 0 } else { TEXT });
        }
        words.extend(parts);
        for (index, word) in words.into_iter().enumerate() {
            self.put(at + 8 + 8 * index, &u64::to_le_bytes(word));
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.data[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn module(&mut self, pclntab: u64, parts: [u64; 5], table_end: u64, text_end: u64, tree: u64) {
        let [names, units, files, pc_values, functions] = parts;
        let start = self.data.len();
        self.pointer(pclntab);
        for (part, end) in [(names, units), (units, files), (files, pc_values), (pc_values, functions)] {
            self.pointer(part);
            self.word(end - part);
            self.word(end - part);
        }
        for len in [table_end - functions, 4] {
            self.pointer(functions);
            self.word(len);
            self.word(len);
        }
        self.word(0); // findfunctab
        [TEXT, text_end, TEXT, text_end].into_iter().for_each(|address| self.pointer(address)); // minpc, maxpc, text, etext
        while self.data.len() < start + 8 * 64 {
            if self.data.len() == start + 8 * self.recipe.gofunc_word() && self.recipe.minor >= 18 {
                self.pointer(tree - 64);
            } else {
                self.word(0);
            }
        }
    }

    /// Adds the relocations and wraps everything in ELF.
    fn finish(mut self, pclntab: u64, build_info: u64, module: u64) -> Vec<u8> {
        let mut rela = Vec::new();
        if self.recipe.pie {
            let kind = if self.recipe.arm64 { 1027u64 } else { 8 };
            // Not in the order of the addresses, like Go's own linker.
            for &(at, value) in self.pointers.iter().rev() {
                rela.extend([DATA + at as u64, kind, value].into_iter().flat_map(u64::to_le_bytes));
            }
        }
        if self.recipe.zero_words {
            for (at, _) in std::mem::take(&mut self.pointers) {
                self.put(at, &[0; 8]);
            }
        }
        self.align(8);
        let table = self.here();
        self.data.extend(&rela);
        let dynamic = self.here();
        [7, table, 8, rela.len() as u64, 9, 24, 0, 0].into_iter().for_each(|word| self.word(word));
        let data_end = self.data.len();
        let names = b"\0.gopclntab\0.go.buildinfo\0.noptrdata\0.shstrtab\0";
        let section_names = DATA_OFFSET + self.data.len();
        self.data.extend(names);
        self.align(8);
        let section_headers = DATA_OFFSET + self.data.len();

        let mut file = vec![0; DATA_OFFSET];
        file.extend(&self.data);
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01\x01");
        put(VERSION_OFFSET, format!("go1.{}.3 and the next constant", self.recipe.minor).as_bytes());
        put(16, &if self.recipe.pie { 3u16 } else { 2 }.to_le_bytes());
        put(18, &if self.recipe.arm64 { 183u16 } else { 62 }.to_le_bytes());
        put(32, &64u64.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &3u16.to_le_bytes());
        let segments = [
            (1u32, 5u32, 0u64, BASE, 0x2000u64),
            (1, 6, DATA_OFFSET as u64, DATA, data_end as u64),
            (2, 6, dynamic - BASE, dynamic, 64),
        ];
        for (index, (kind, flags, offset, vaddr, size)) in segments.into_iter().enumerate() {
            let at = 64 + 56 * index;
            put(at, &kind.to_le_bytes());
            put(at + 4, &flags.to_le_bytes());
            for (field, value) in [(8, offset), (16, vaddr), (24, vaddr), (32, size), (40, size), (48, 0x1000)] {
                put(at + field, &value.to_le_bytes());
            }
        }
        if self.recipe.sections {
            put(40, &(section_headers as u64).to_le_bytes());
            put(58, &64u16.to_le_bytes());
            put(60, &5u16.to_le_bytes());
            put(62, &4u16.to_le_bytes());
            let sections = [
                (0u32, 0u32, 0u64, 0u64),
                (1, 1, pclntab, module - pclntab),
                (12, 1, build_info, 256),
                (26, 1, module, 512),
                (37, 3, 0, names.len() as u64),
            ];
            for (name, kind, addr, size) in sections {
                let offset = if addr == 0 { section_names as u64 } else { addr - BASE };
                let mut header = [name.to_le_bytes(), kind.to_le_bytes()].concat();
                header.extend([0, addr, offset, size, 0, 1, 0].into_iter().flat_map(u64::to_le_bytes));
                file.extend(header);
            }
        }
        file
    }
}
