//! The page that says what there is.

/// The page for a process, described in a line.
pub(super) fn page(process: &str) -> String {
    let process = escape(process);
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>fgspy: {process}</title>
<style>
body {{ font-family: sans-serif; margin: 2rem; line-height: 1.5 }}
td {{ padding-right: 2rem; vertical-align: top }}
</style>
</head>
<body>
<h1>fgspy</h1>
<p>{process}</p>
<table>
<tr><td><a href="/debug/fgprof?seconds=5&amp;format=flamegraph">flame graph</a>
<td>where all goroutines' time goes, running and waiting, in the next 5 seconds
<tr><td><a href="/debug/fgprof?seconds=30">fgprof</a>
<td>the same for <code>go tool pprof</code>, in the next 30 seconds;
<code>seconds=</code> up to 3600, <code>format=</code> pprof, folded, flamegraph, json or raw;
<code>request=</code> a regular expression for routes or <code>GET /path</code>, <code>trace=</code> a trace id,
<code>no-idle=1</code>, <code>group-by=</code> request, route, state or creator
<tr><td><a href="/debug/pprof/goroutine?debug=1">goroutine</a>
<td>the stacks of all goroutines now, equal ones counted; <code>debug=0</code> for <code>go tool pprof</code>
<tr><td><a href="/debug/pprof/goroutine?debug=2">full goroutine stack dump</a>
<td>each goroutine by itself, as in the output of a crash
<tr><td><a href="/debug/pprof/profile?seconds=30">profile</a>
<td>where goroutines run on a CPU, in the next 30 seconds
</table>
</body>
</html>
"#
    )
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            c if c.is_control() => char::REPLACEMENT_CHARACTER.to_string(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::request::PATHS;
    use super::*;

    #[test]
    fn a_process_cannot_put_markup_into_the_page() {
        let page = page("process 1: /tmp/<script>\"&\x1b");
        assert!(page.contains("<p>process 1: /tmp/&lt;script&gt;&quot;&amp;\u{fffd}</p>"), "{page}");
        assert!(!page.contains("<script"));
    }

    #[test]
    fn every_path_is_on_the_page() {
        let page = page("");
        for path in PATHS.split([',', ' ']).filter(|word| word.starts_with('/')) {
            assert!(page.contains(&format!("href=\"{path}?")), "{path}");
        }
    }
}
