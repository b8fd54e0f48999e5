//! From what is known of a program to a plan.

use std::path::PathBuf;

use anyhow::{Context, Result};
use fgspy_gobin::layout::MapsLayout;
use fgspy_goroutines::Runtime;
use fgspy_kernel::trace::{Maps, OTHER, Offsets, Options, Plan, Site, SiteKind};

pub(crate) fn of(pid: u32, runtime: &Runtime, options: Options) -> Result<Plan> {
    let layout = &runtime.layout;
    let (g, gobuf, http) = (&layout.g, &layout.gobuf, &layout.http);
    let maps = match layout.maps {
        MapsLayout::Buckets(hmap, bmap) => Maps::Buckets {
            b: hmap.b,
            buckets: hmap.buckets,
            bucket_size: bmap.data_offset + 8 * 40 + 8,
            values: bmap.data_offset + 8 * 16,
            least_tophash: bmap.min_top_hash,
        },
        MapsLayout::Tables(tables) => Maps::Tables {
            dir_ptr: tables.dir_ptr,
            dir_len: tables.dir_len,
            groups: tables.groups_data,
            mask: tables.groups_mask,
        },
    };
    let offsets = Offsets {
        g_stack_lo: g.stack_lo,
        g_stack_hi: g.stack_hi,
        g_m: g.m,
        g_sched_pc: g.sched + gobuf.pc,
        g_sched_bp: g.sched + gobuf.bp,
        g_goid: g.goid,
        g_waitreason: g.waitreason,
        g_startpc: g.startpc,
        m_curg: layout.m.curg,
        request_method: http.method,
        request_url: http.url,
        url_path: 56,
        request_header: http.header,
        request_pattern: http.pattern,
        stream_method: None,
        maps,
    };
    Ok(Plan {
        pid,
        exe: PathBuf::from(format!("/proc/{pid}/exe")),
        sites: sites(runtime)?,
        offsets,
        classes: [OTHER; 256],
        options,
    })
}

fn sites(runtime: &Runtime) -> Result<Vec<Site>> {
    let mut wanted = vec![("runtime.casgstatus", SiteKind::CasStatus)];
    if runtime.version.minor >= 26 {
        wanted.push(("runtime.reentersyscall", SiteKind::SyscallEnter));
        wanted.push(("runtime.exitsyscall", SiteKind::SyscallExit));
    }
    let mut sites = Vec::new();
    for (name, kind) in wanted {
        let binary = &runtime.binary;
        let func = binary.func_named(name).context(name)?;
        let code = binary.code(&func).context(name)?;
        let at = (0..48)
            .find(|&at| code[at] == 0x55 || code[at..].starts_with(&[0x0f, 0x1f]) || code[at] == 0x90)
            .context(name)?;
        let vaddr = func.entry + at as u64;
        let segment = binary.segments().iter().find(|s| vaddr.wrapping_sub(s.vaddr) < s.file_size).context(name)?;
        sites.push(Site { kind, file_offset: vaddr - segment.vaddr + segment.offset });
    }
    Ok(sites)
}
