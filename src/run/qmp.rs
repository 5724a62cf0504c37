//! QEMU's machine protocol: one JSON object a line, over a socket.
//!
//! Knows the few commands that `session` needs. Invariant: events are passed over; an answer is that to
//! the command before it, since only one is on its way at a time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::keys::Chord;
use crate::engine::base::{Error, Kind};

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a key is held, milliseconds; QEMU waits as long between two.
const HOLD: u64 = 50;

/// A connection.
#[derive(Debug)]
pub(super) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// A connection to the socket at `path`; none while QEMU has not made it yet.
    pub(super) fn connect(path: &Path) -> Result<Option<Self>, Error> {
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(e) if path.as_os_str().len() > 107 => {
                let message =
                    format!("the socket {}: its path is too long; set TMPDIR", path.display());
                return Err(Error::io(message, e));
            }
            Err(_) => return Ok(None),
        };
        let context = |e| Error::io(format!("talking to QEMU at {}", path.display()), e);
        stream.set_read_timeout(Some(PATIENCE)).map_err(context)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(context)?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        let greeting = qmp.line()?;
        if greeting.get("QMP").is_none() {
            return Err(unexpected("greets with", &greeting));
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(Some(qmp))
    }

    fn line(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        let context = |e| Error::io("talking to QEMU", e);
        if self.reader.read_line(&mut line).map_err(context)? == 0 {
            return Err(Error::new(Kind::Io, "QEMU has ended the conversation"));
        }
        serde_json::from_str(&line).map_err(|e| context(e.into()))
    }

    /// Has a command done.
    fn execute(&mut self, name: &str, arguments: Value) -> Result<Value, Error> {
        let command = json!({"execute": name, "arguments": arguments});
        let context = |e| Error::io("talking to QEMU", e);
        self.reader.get_mut().write_all(format!("{command}\n").as_bytes()).map_err(context)?;
        loop {
            let answer = self.line()?;
            if let Some(found) = answer.get("return") {
                return Ok(found.clone());
            }
            if let Some(error) = answer.get("error") {
                return Err(unexpected(&format!("refuses {name}:"), error));
            }
            if answer.get("event").is_none() {
                return Err(unexpected("says", &answer));
            }
        }
    }

    /// Presses keys.
    pub(super) fn press(&mut self, chords: &[Chord]) -> Result<(), Error> {
        for Chord(keys) in chords {
            let keys: Vec<_> =
                keys.iter().map(|key| json!({"type": "qcode", "data": key})).collect();
            self.execute("send-key", json!({"keys": keys, "hold-time": HOLD}))?;
            // QEMU keeps a short queue, and a firmware reads no faster.
            std::thread::sleep(Duration::from_millis(2 * HOLD));
        }
        Ok(())
    }

    /// Writes what the screen shows to `path`, as a portable pixmap.
    pub(super) fn screen(&mut self, path: &Path) -> Result<(), Error> {
        let path = path.to_str().ok_or_else(|| {
            Error::new(Kind::Input, "the directory for temporary files is not named in UTF-8")
        })?;
        self.execute("screendump", json!({"filename": path})).map(|_| ())
    }
}

fn unexpected(what: &str, value: &Value) -> Error {
    let text: String = value.to_string().chars().take(200).collect();
    Error::new(Kind::Io, format!("QEMU {what} {text}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    #[test]
    fn events_are_passed_over_and_errors_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        assert!(Qmp::connect(&path).unwrap().is_none());
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"{\"QMP\": {\"version\": {}}}\r\n").unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut asked = Vec::new();
            for answer in [
                "{\"return\": {}}\n",
                "{\"event\": \"RESUME\"}\n{\"return\": {}}\n",
                "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n",
            ] {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                asked.push(line);
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        let mut qmp = Qmp::connect(&path).unwrap().unwrap();
        qmp.press(&Chord::parse("ctrl-a").unwrap()).unwrap();
        let error = qmp.screen(Path::new("/a")).unwrap_err().to_string();
        assert!(error.starts_with("QEMU refuses screendump: {") && error.contains("no"), "{error}");
        drop(qmp);
        let asked = server.join().unwrap();
        let keys: Value = serde_json::from_str(&asked[1]).unwrap();
        assert_eq!(keys["arguments"]["keys"][1]["data"], "a");
    }
}
