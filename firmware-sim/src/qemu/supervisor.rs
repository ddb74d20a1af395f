//! QEMU's end: with whoever started it, however that ends.
//!
//! A program that is killed cannot kill what it started. A shell between the two can: it holds the reading end
//! of a pipe whose writing end nobody but that program has, so the pipe ends when the program does.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs::File, io};

/// A command that runs `program`, to be given its arguments, in `folder`, until its standard input ends; then it
/// kills it, or, if that has ended before, passes its exit code on. In the end the folder is removed.
///
/// As long as the program lives, something holds `held`, and so a lock on it.
///
/// # Errors
/// Not found on `PATH`, which a shell would not say so that it can be told apart.
pub(super) fn command(program: &str, folder: &Path, held: File) -> io::Result<Command> {
    if !on_path(program) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it is not there"));
    }
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", SCRIPT, "sh"])
        .arg(folder)
        .arg(program)
        .current_dir(folder)
        .stdin(Stdio::piped())
        // Opened for reading, so that nothing that is printed can reach it.
        .stdout(held)
        .stderr(Stdio::piped())
        // Ctrl-C is for the program in front; its end is ours.
        .process_group(0);
    Ok(shell)
}

/// Whether `PATH` has a file with this name.
pub(super) fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

const SCRIPT: &str = r#"
folder=$1
shift
# Whoever would hear of the end may be gone.
trap '' PIPE
exec 3<&0 </dev/null
"$@" 3<&- >/dev/null &
program=$!
{ read -r _ <&3; kill -9 $program; } 2>/dev/null &
watch=$!
wait $program 2>/dev/null
code=$?
kill $watch 2>/dev/null
rm -rf -- "$folder"
exit $code
"#;
