//! The list in `rust/core/src/counters.rs` as the struct that crosses the ABI, and as the Go struct made of it.

/// One line of the list.
pub(crate) struct Counter {
    doc: String,
    name: String,
    kind: Kind,
    group: &'static str,
}

enum Kind {
    Number,
    Flag,
    /// Milliseconds since the Unix epoch, 0 for none.
    Time,
}

/// Reads the list, which is as plain as its comment says.
pub(crate) fn parse(source: &str) -> Vec<Counter> {
    let list = source.split_once("\ncounters! {\n").expect("there is a list of counters").1;
    let (mut counters, mut doc, mut group) = (Vec::new(), String::new(), "");
    for line in list.lines().take_while(|line| *line != "}").map(str::trim) {
        match line {
            "totals {" => group = "totals",
            "sizes {" => group = "sizes",
            "}" => {}
            line if line.starts_with("/// ") => doc += &format!("{line}\n"),
            line => {
                let counter = line.strip_suffix(',').expect("a counter ends with a comma");
                let (name, kind) = match counter.split_once(": ") {
                    None | Some((_, "u64")) => (counter.trim_end_matches(": u64"), Kind::Number),
                    Some((name, "bool")) => (name, Kind::Flag),
                    Some((name, "Option<Timestamp>")) => (name, Kind::Time),
                    Some((name, _)) => panic!("counter {name} is neither u64, bool nor Option<Timestamp>"),
                };
                assert!(!doc.is_empty(), "counter {name} has no comment");
                counters.push(Counter { doc: std::mem::take(&mut doc), name: name.to_owned(), kind, group });
            }
        }
    }
    counters
}

const TIME_NOTE: &str = "/// In milliseconds since the Unix epoch; 0 if there is none.\n";

/// The struct that crosses, for rustc and for cbindgen.
pub(crate) fn rust_struct(counters: &[Counter]) -> String {
    let (mut fields, mut values) = (String::new(), String::new());
    for Counter { doc, name, kind, group } in counters {
        let (note, kind, value) = match kind {
            Kind::Number => ("", "u64", ""),
            Kind::Flag => ("", "bool", ""),
            Kind::Time => (TIME_NOTE, "u64", ".map_or(0, |time| time.0)"),
        };
        fields += &format!("{doc}{note}pub {name}: {kind},\n");
        values += &format!("{name}: {group}.{name}{value},\n");
    }
    format!(
        "/// An engine's totals since it was opened, and its sizes now.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CountersView {{
/// The struct's size in bytes, set by the caller. Any but the library's is `INVALID_ARGUMENT`.
pub size: usize,
{fields}/// Microseconds that all requests to the backend took.
pub fetch_time_us: u64,
/// Requests that took up to each of `cached_http_fetch_time_bounds_ms`, and longer; not summed up.
pub fetch_times: [u64; CACHED_HTTP_FETCH_TIME_BUCKETS],
}}

impl CountersView {{
fn new(totals: &CountersSnapshot, sizes: &Sizes, times: &FetchTimes) -> Self {{
let size = size_of::<Self>();
let (fetch_times, fetch_time_us) = times.snapshot();
CountersView {{ size, {values}fetch_time_us, fetch_times }}
}}
}}
"
    )
}

/// The Go struct, formatted as gofmt does.
pub(crate) fn go_struct(counters: &[Counter]) -> String {
    let (mut fields, mut sums, mut copies) = (String::new(), String::new(), String::new());
    for Counter { doc, name, kind, .. } in counters {
        let field = camel_case(name);
        let (note, go_type, from, sum) = match kind {
            Kind::Number => ("", "uint64", "uint64", format!("c.{field} += other.{field}")),
            Kind::Flag => ("", "bool", "bool", format!("c.{field} = c.{field} || other.{field}")),
            Kind::Time => {
                let sum = format!("c.{field} = earlier(c.{field}, other.{field})");
                ("/// Zero if there is none.\n", "time.Time", "timeOf", sum)
            }
        };
        let doc = (doc.clone() + note).replace("///", "\t//");
        fields += &format!("{doc}\t{field} {go_type}\n");
        sums += &format!("\t{sum}\n");
        copies += &format!("\tc.{field} = {from}(view.{name})\n");
    }
    format!(
        r#"// Code generated from rust/core/src/counters.rs by make header; DO NOT EDIT.

package native

// #include "cached_http.h"
import "C"

import "time"

// Counters are an engine's totals since it was opened, and its sizes now.
type Counters struct {{
{fields}	FetchDurations
}}

// Plus adds another engine's.
func (c Counters) Plus(other Counters) Counters {{
{sums}	c.FetchDurations = c.FetchDurations.plus(other.FetchDurations)
	return c
}}

func countersOf(view *C.cached_http_counters) (c Counters) {{
{copies}	c.FetchDurations = fetchDurationsOf(view)
	return c
}}
"#
    )
}

fn camel_case(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}
