//! No stack is ever a mixture of two moments, however wildly the goroutines move while they are read.
//!
//! Every stack that is believed must be one that calls can have made: it begins at the function that the goroutine was
//! started with, and each return address follows a call instruction that calls the function above it. Of programs whose
//! stacks say so, no stack may have functions of two ways that are never gone at once.
//!
//! `FGSPY_TORN_OBSERVATIONS` is how many stacks are looked at in each program, for longer runs by hand.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use fgspy_fixtures::{Fixture, Toolchain, Variant, build, skip, toolchains};
use fgspy_goroutines::GoProcess;
use fgspy_goroutines::symbolize::lookup_addresses;
use fgspy_goroutines::{Fingerprint, Look, Observation, Reader, Runtime, Sight, Stack, Status, Wanted};
use libtest_mimic::{Arguments, Failed, Trial};
use rustc_hash::{FxHashMap, FxHashSet};

/// Stacks looked at in each program, unless the environment says otherwise.
const OBSERVATIONS: u64 = 200_000;
/// The variable that says otherwise.
const OBSERVATIONS_VARIABLE: &str = "FGSPY_TORN_OBSERVATIONS";
/// Programs that move: how they are called here, the fixture, and its arguments.
const PROGRAMS: [(&str, &str, &str); 4] = [
    ("churn", "churn", "-churners=300"),
    ("detours", "detours", "-by=calls"),
    ("detours-by-methods", "detours", "-by=methods"),
    ("detours-shared", "detours", "-by=shared"),
];

/// The first Go with `iter.Pull`.
const FIRST_WITH_COROUTINES: u32 = 23;

fn main() {
    let arguments = Arguments::from_args();
    if cfg!(not(target_arch = "x86_64")) {
        return skip("torn stacks", "the test knows the call instructions of amd64 only");
    }
    let newest = toolchains::newest().expect("the newest toolchain can be had").minor;
    let mut trials = Vec::new();
    for minor in [19, 23, newest] {
        for (name, program, argument) in PROGRAMS {
            trials.push(Trial::test(format!("{name}::go1.{minor}"), move || {
                let toolchain = toolchains::get(minor).map_err(described)?;
                no_stack_is_torn(&toolchain, program, argument).map_err(described)
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn observations() -> Result<u64> {
    let Some(text) = std::env::var_os(OBSERVATIONS_VARIABLE) else { return Ok(OBSERVATIONS) };
    text.to_str().and_then(|text| text.parse().ok()).with_context(|| format!("{OBSERVATIONS_VARIABLE} is no number"))
}

fn described(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}

fn no_stack_is_torn(toolchain: &Toolchain, program: &str, argument: &str) -> Result<()> {
    let fixture = Fixture::spawn(&build(program, toolchain, Variant::Plain)?, [argument])?;
    let target = GoProcess::open(fixture.pid())?;
    let mut judge = Judge { runtime: &target.runtime, calls: HashMap::new(), possible: FxHashMap::default() };
    let mut reader = Reader::new();
    let mut count = Count::default();
    let observations = observations()?;
    while count.all() < observations {
        let mut violation = None;
        reader.round(&target.runtime, &target.memory, &mut |observation| {
            count.add(&target.runtime, &observation);
            if let Err(error) = judge.check(&observation) {
                violation.get_or_insert(error.context(format!("{:?} {:#x?}", observation.status, observation.g)));
            }
        })?;
        if let Some(violation) = violation {
            bail!("after {count:?}: {violation:#}");
        }
    }
    println!("{} {program}: {:.2} % of stacks rejected; {count:?}", toolchain.version, count.rejected() * 100.0);
    let (claims, refuted) = what_is_said_to_stand_still_does(&target, &mut reader)?;
    println!("{} {program}: {claims} stacks proven unchanged and read again, {refuted} otherwise", toolchain.version);
    // The runtime counts to 256: one that ran so often and stopped at the same place looks as if it had not run.
    ensure!(refuted * 1000 <= claims, "{refuted} of {claims} goroutines had run although they were proven not to have");
    ensure!(count.changed > 0, "nothing moved: this proves nothing ({count:?})");
    ensure!(
        program != "churn" || count.begun > 0,
        "no deep stack moved: this proves nothing of their leaves ({count:?})"
    );
    let detours = count.syscalls.min(count.switched);
    ensure!(program != "detours" || detours > 1000, "too few detours to prove anything ({count:?})");
    let has_coroutines = program == "detours" && toolchain.minor >= FIRST_WITH_COROUTINES;
    ensure!(!has_coroutines || count.coroutines > 1000, "too few coroutines to prove anything ({count:?})");
    ensure!(count.broken * 1000 <= count.whole, "too many stacks did not move and are broken all the same: {count:?}");
    Ok(())
}

/// Goroutines that are said to have stood still while others of their kind moved, and are looked at all the same.
const CLAIMS: u64 = 5000;

/// Reads all goroutines, those that stood still since the last time by that proof only; then the stacks of these all the
/// same. Returns how many there were whose fingerprint was still the same then, and how many of them had another stack.
fn what_is_said_to_stand_still_does(target: &GoProcess, reader: &mut Reader) -> Result<(u64, u64)> {
    let (runtime, memory) = (&target.runtime, &target.memory);
    let mut known: HashMap<u32, (Fingerprint, Vec<u64>)> = HashMap::new();
    let (mut claims, mut refuted) = (0, 0);
    while claims < CLAIMS {
        let look = |index| known.get(&index).map_or(Look::Stack, |(fingerprint, _)| Look::Since(*fingerprint));
        let all: Vec<u32> = reader.all().runs().flatten().copied().collect();
        let wanted: Vec<Wanted> = all.iter().map(|&index| Wanted { index, look: look(index) }).collect();
        let (mut same, mut seen) = (Vec::new(), HashMap::new());
        reader.read(runtime, memory, &wanted, &mut |asked, sight| match sight {
            Sight::Same => same.push(Wanted { index: wanted[asked].index, look: Look::Stack }),
            Sight::Seen(Observation { index, fingerprint, stack: Stack::Whole(pcs), .. }) => {
                seen.insert(index, (fingerprint, pcs.to_vec()));
            }
            _ => {}
        })?;
        reader.read(runtime, memory, &same, &mut |_, sight| {
            let Sight::Seen(Observation { index, fingerprint, stack: Stack::Whole(pcs), .. }) = sight else { return };
            if let Some((before, stack)) = known.get(&index).filter(|(before, _)| *before == fingerprint) {
                claims += 1;
                refuted += u64::from(stack != pcs);
                seen.insert(index, (*before, pcs.to_vec()));
            }
        })?;
        known = seen;
    }
    Ok((claims, refuted))
}

#[derive(Debug, Default)]
struct Count {
    whole: u64,
    /// Of those, in system calls.
    syscalls: u64,
    /// Of those, on their threads' own stacks.
    switched: u64,
    /// Of those, coroutines that wait for their turn.
    coroutines: u64,
    cut: u64,
    changed: u64,
    /// Of those, with the frames that were read before.
    begun: u64,
    torn: u64,
    unmapped: u64,
    broken: u64,
}

impl Count {
    fn add(&mut self, runtime: &Runtime, observation: &Observation<'_>) {
        match observation.stack {
            Stack::Whole(_) => {
                self.whole += 1;
                self.syscalls += u64::from(observation.status == Status::Syscall);
                self.switched += u64::from(observation.status.is_on_thread());
                let doing = runtime.doing(observation.status, observation.g.wait_reason);
                self.coroutines += u64::from(doing == "coroutine");
            }
            Stack::Cut(_) => self.cut += 1,
            Stack::OnThread | Stack::Unread => {}
            Stack::Changed(leaf) => {
                self.changed += 1;
                self.begun += u64::from(!leaf.is_empty());
            }
            Stack::Torn => self.torn += 1,
            Stack::Unmapped => self.unmapped += 1,
            Stack::Broken => self.broken += 1,
        }
    }

    fn all(&self) -> u64 {
        self.whole + self.cut + self.changed + self.torn + self.unmapped + self.broken
    }

    fn rejected(&self) -> f64 {
        (self.changed + self.torn + self.unmapped + self.broken) as f64 / self.all() as f64
    }
}

/// Tells stacks that can be from stacks that cannot.
struct Judge<'a> {
    runtime: &'a Runtime,
    /// Whether the function at the first address is called before the second; remembered, as there are few pairs.
    calls: HashMap<(u64, u64), bool>,
    /// Stacks that were found to be possible, by the start of their goroutine; there are few of these, too.
    possible: FxHashMap<u64, FxHashSet<Vec<u64>>>,
}

impl Judge<'_> {
    fn check(&mut self, observation: &Observation<'_>) -> Result<()> {
        let (start, pcs) = (observation.g.start_pc, observation.stack.pcs());
        if self.possible.get(&start).is_some_and(|stacks| stacks.contains(pcs)) {
            return Ok(());
        }
        self.check_calls(observation)?;
        self.check_ways(pcs)?;
        self.possible.entry(start).or_default().insert(pcs.to_vec());
        Ok(())
    }

    /// No stack has functions of the way to the left and of the way to the right.
    fn check_ways(&self, pcs: &[u64]) -> Result<()> {
        let functions = || pcs.iter().filter_map(|&pc| self.runtime.function_at(pc));
        let is_of = |way: &str| functions().any(|name| name.starts_with("main.") && name.contains(way));
        ensure!(!is_of("left") || !is_of("right"), "two ways at once: {}", self.named(pcs));
        Ok(())
    }

    fn check_calls(&mut self, observation: &Observation<'_>) -> Result<()> {
        // Of one that moved, what was read before.
        let (Stack::Whole(pcs) | Stack::Changed(pcs)) = observation.stack else { return Ok(()) };
        let lookups: Vec<u64> = lookup_addresses(self.runtime, pcs, false).collect();
        for (i, &caller) in pcs.iter().enumerate().skip(1) {
            // The last is `runtime.goexit`, which the start function only seems to have been called by.
            let start = observation.g.start_pc;
            if i == pcs.len() - 1 && self.runtime.starts_at(pcs) == Some(start) {
                break;
            }
            let callee = lookups[i - 1];
            // What a signal interrupted did not call.
            let interrupted = self.runtime.unwinder.special().is_injected(callee.wrapping_sub(self.runtime.bias));
            let runtime = self.runtime;
            let possible =
                interrupted || *self.calls.entry((callee, caller)).or_insert_with(|| calls(runtime, callee, caller));
            ensure!(possible, "{:?}: frame {i} did not call the one above it: {}", observation.status, self.named(pcs));
        }
        Ok(())
    }

    fn named(&self, pcs: &[u64]) -> String {
        let names = pcs.iter().map(|&pc| format!("{:?} {pc:#x}", self.runtime.function_at(pc)));
        names.collect::<Vec<_>>().join(", ")
    }
}

/// Whether the instruction before the return address `caller` calls the function that `callee` lies in.
fn calls(runtime: &Runtime, callee: u64, caller: u64) -> bool {
    let binary = &runtime.binary;
    let caller = caller.wrapping_sub(runtime.bias);
    let Some(callee) = binary.func_at(callee.wrapping_sub(runtime.bias)) else { return false };
    let Some(before) = binary.read_vaddr(caller.wrapping_sub(LONGEST_CALL as u64), LONGEST_CALL) else { return false };
    let target = direct_target(&before, caller).and_then(|target| binary.func_at(target));
    let leads_to_callee = target.is_some_and(|target| {
        // It is left by way of another function, which seems to stand in its place (`gosave_systemstack_switch`).
        let switch = binary.func_name(&callee).starts_with("runtime.systemstack_switch");
        target.entry == callee.entry
            || jumps_to(&binary.code(&target).unwrap_or_default(), target.entry, callee.entry)
            || switch && binary.func_name(&target).starts_with("runtime.systemstack")
    });
    leads_to_callee || is_indirect_call(&before)
}

/// Whether `code`, at `start`, is that of a small function that ends in a jump to `target`: a wrapper, or one of several
/// ways into the same code.
fn jumps_to(code: &[u8], start: u64, target: u64) -> bool {
    const SMALL: usize = 64;
    let mut jumps = code.windows(5).take(SMALL).zip(start + 5..).filter(|(jump, _)| jump[0] == 0xe9);
    jumps.any(|(jump, end)| relative(&jump[1..], end) == Some(target))
}

/// Bytes of the longest call instruction that the Go compiler makes.
const LONGEST_CALL: usize = 8;

/// Where `call rel32` at the end of `code` goes.
fn direct_target(code: &[u8], end: u64) -> Option<u64> {
    let [.., 0xe8, _, _, _, _] = *code else { return None };
    relative(&code[code.len() - 4..], end)
}

/// The address at the signed 32-bit `distance` from `from`.
fn relative(distance: &[u8], from: u64) -> Option<u64> {
    Some(from.wrapping_add_signed(i32::from_le_bytes(distance.try_into().ok()?).into()))
}

/// Whether `code` ends with a call through a register or memory: `FF /2`, perhaps with a REX prefix.
fn is_indirect_call(code: &[u8]) -> bool {
    (2..LONGEST_CALL).any(|len| {
        let code = &code[code.len() - len..];
        let [0xff, modrm, ref rest @ ..] = *code else { return false };
        let (mode, register, rm) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
        let sib = usize::from(mode != 3 && rm == 4);
        let displacement = match (mode, rm) {
            (0, 5) | (2, _) => 4,
            (0, 4) if rest.first().is_some_and(|sib| sib & 7 == 5) => 4,
            (1, _) => 1,
            _ => 0,
        };
        register == 2 && rest.len() == sib + displacement
    })
}
