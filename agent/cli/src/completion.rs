//! `takt completion`: a script that lets a shell complete Takt's command lines.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::Cli;

/// Print the script that lets a shell complete `takt` command lines
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bash:  takt completion bash > ~/.local/share/bash-completion/completions/takt
  zsh:   takt completion zsh > \"${fpath[1]}/_takt\"
  fish:  takt completion fish > ~/.config/fish/completions/takt.fish")]
pub(crate) struct Args {
    /// The shell that the script is for
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    // Rendered first: a reader that closes the pipe early must not cause a panic.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "takt", &mut script);
    match io::stdout().write_all(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("takt: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
