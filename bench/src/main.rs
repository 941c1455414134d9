//! The native half of the benchmarks: `onetrip-bench inputs DIRECTORY` writes what the JavaScript half decodes,
//! `onetrip-bench encode` measures what encoding costs an endpoint. `bench/run.mjs` calls both.

mod data;
mod encode;
mod formats;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["inputs", directory] => inputs(Path::new(directory)),
        ["encode"] => {
            encode::run();
            Ok(())
        }
        _ => {
            eprintln!("usage: onetrip-bench inputs DIRECTORY | encode");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onetrip-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes each workload in every format, `{workload}.{format}`.
fn inputs(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for workload in data::workloads() {
        let frames = formats::frames(&workload);
        for (format, bytes) in [
            ("utf8.blocks", formats::encoded(&frames, formats::blocks_utf8())),
            ("utf16.blocks", formats::encoded(&frames, formats::blocks_utf16())),
            ("utf16-joined.blocks", formats::encoded(&frames, formats::blocks_joined())),
            ("typed.json", formats::encoded(&frames, formats::typed_json())),
            ("rows.json", formats::encoded(&frames, formats::json_rows())),
            ("peer.json", formats::peer_json(&frames)),
            ("minimal.json", formats::minimal_json(&workload)),
            ("frames", frames),
        ] {
            std::fs::write(directory.join(format!("{}.{format}", workload.name)), bytes)?;
        }
    }
    Ok(())
}
