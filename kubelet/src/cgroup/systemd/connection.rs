//! One conversation with systemd over a unix socket: authentication, calls, and waiting for the
//! end of a job. Decides nothing about units.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::process::geteuid;

use super::message::{self, Address, FIXED, Incoming, Kind, Value};
use super::{SystemdError, TIMEOUT};

const SYSTEMD: Address<'static> = Address {
    destination: None,
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};
const BUS: Address<'static> = Address {
    destination: Some("org.freedesktop.DBus"),
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};
const JOB_SIGNALS: &str =
    "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// An authenticated connection.
pub(super) struct Connection {
    stream: UnixStream,
    serial: u32,
    systemd: Address<'static>,
    /// `JobRemoved` signals that came before they were waited for: job and result.
    ended: Vec<(String, String)>,
}

impl Connection {
    /// Connects to a message bus, through which systemd is reached by name.
    pub(super) fn to_bus(socket: &Path) -> Result<Self, SystemdError> {
        let systemd = Address {
            destination: Some("org.freedesktop.systemd1"),
            ..SYSTEMD
        };
        let mut connection = Self::open(socket, systemd)?;
        connection.exchange(BUS, "Hello", "", &[])?;
        connection.exchange(BUS, "AddMatch", "", &[Value::text(JOB_SIGNALS)])?;
        Ok(connection)
    }

    /// Connects to systemd itself, which then sends its signals unasked.
    pub(super) fn to_systemd(socket: &Path) -> Result<Self, SystemdError> {
        Self::open(socket, SYSTEMD)
    }

    fn open(socket: &Path, systemd: Address<'static>) -> Result<Self, SystemdError> {
        let failed = |source| SystemdError::Connect {
            socket: socket.display().to_string(),
            source,
        };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        let mut connection = Self {
            stream,
            serial: 0,
            systemd,
            ended: Vec::new(),
        };
        connection.authenticate().map_err(failed)?;
        Ok(connection)
    }

    /// SASL EXTERNAL: the peer knows who we are from the socket.
    fn authenticate(&mut self) -> io::Result<()> {
        self.stream.set_read_timeout(Some(TIMEOUT))?;
        self.stream.set_write_timeout(Some(TIMEOUT))?;
        let identity = hex::encode(geteuid().as_raw().to_string());
        self.stream
            .write_all(format!("\0AUTH EXTERNAL {identity}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            line.extend(byte);
            if line.len() > 512 {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
        }
        if !line.starts_with(b"OK ") {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        self.stream.write_all(b"BEGIN\r\n")
    }

    /// Calls a method of systemd's manager about `unit`; returns the strings of the answer.
    pub(super) fn call(
        &mut self,
        method: &'static str,
        unit: &str,
        arguments: &[Value],
    ) -> Result<Vec<String>, SystemdError> {
        self.exchange(self.systemd, method, unit, arguments)
    }

    /// Calls a method that starts a job, and waits for the job's end.
    pub(super) fn run_job(
        mut self,
        method: &'static str,
        unit: &str,
        arguments: &[Value],
    ) -> Result<(), SystemdError> {
        let job = self
            .call(method, unit, arguments)?
            .into_iter()
            .next()
            .unwrap_or_default();
        loop {
            if let Some((_, result)) = self.ended.iter().find(|(ended, _)| *ended == job) {
                if matches!(result.as_str(), "done" | "skipped") {
                    return Ok(());
                }
                let (unit, result) = (unit.to_owned(), result.clone());
                return Err(SystemdError::Job {
                    method,
                    unit,
                    result,
                });
            }
            self.receive()
                .map_err(|source| transport(method, unit, source))?;
        }
    }

    fn exchange(
        &mut self,
        to: Address<'_>,
        method: &'static str,
        unit: &str,
        arguments: &[Value],
    ) -> Result<Vec<String>, SystemdError> {
        self.serial += 1;
        let call = message::call(self.serial, to, method, arguments);
        self.stream
            .write_all(&call)
            .map_err(|source| transport(method, unit, source))?;
        loop {
            let answer = self
                .receive()
                .map_err(|source| transport(method, unit, source))?;
            if answer.reply_to != Some(self.serial) {
                continue;
            }
            let text = || answer.texts.first().cloned().unwrap_or_default();
            return match answer.kind {
                Kind::Reply => Ok(answer.texts),
                _ => Err(SystemdError::Refused {
                    method,
                    unit: unit.to_owned(),
                    text: text(),
                    name: answer.error.unwrap_or_default(),
                }),
            };
        }
    }

    /// The next message. The end of a job is also remembered.
    fn receive(&mut self) -> io::Result<Incoming> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed D-Bus message");
        let mut fixed = [0; FIXED];
        self.stream.read_exact(&mut fixed)?;
        let rest = message::rest_length(&fixed).ok_or_else(malformed)?;
        let mut bytes = fixed.to_vec();
        bytes.resize(FIXED + rest, 0);
        self.stream.read_exact(&mut bytes[FIXED..])?;
        let incoming = message::parse(&bytes).ok_or_else(malformed)?;
        // JobRemoved(id, job, unit, result); the id is a number.
        if incoming.member.as_deref() == Some("JobRemoved")
            && let [job, _unit, result] = incoming.texts.as_slice()
        {
            self.ended.push((job.clone(), result.clone()));
        }
        Ok(incoming)
    }
}

fn transport(method: &'static str, unit: &str, source: io::Error) -> SystemdError {
    SystemdError::Transport {
        method,
        unit: unit.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread::{self, JoinHandle};

    use super::*;

    /// A message of systemd: a call of ours with its kind, and reply serial, changed.
    fn from_systemd(kind: u8, reply_to: u8, member: &str, texts: &[&str]) -> Vec<u8> {
        let arguments: Vec<_> = texts.iter().map(|text| Value::text(text)).collect();
        let mut bytes = message::call(9, SYSTEMD, member, &arguments);
        bytes[1] = kind;
        // Field 1, a path of 25 bytes, becomes field 5: its bytes are skipped by the length.
        if reply_to > 0 {
            let mut fields = vec![5, 1, b'u', 0, reply_to, 0, 0, 0];
            fields.extend(&bytes[FIXED..]);
            let length = bytes[12] + 8;
            bytes.truncate(FIXED);
            bytes[12] = length;
            bytes.extend(fields);
        }
        bytes
    }

    /// Takes one connection, authenticates it, and answers its first call with `answer`.
    fn serve(listener: UnixListener, answer: Vec<u8>) -> JoinHandle<Vec<u8>> {
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert!(line.starts_with("\0AUTH EXTERNAL 3"), "{line:?}");
            (&stream).write_all(b"OK 1234\r\n").unwrap();
            line.clear();
            reader.read_line(&mut line).unwrap();
            assert_eq!(line, "BEGIN\r\n");
            let mut fixed = [0; FIXED];
            reader.read_exact(&mut fixed).unwrap();
            let mut rest = vec![0; message::rest_length(&fixed).unwrap()];
            reader.read_exact(&mut rest).unwrap();
            (&stream).write_all(&answer).unwrap();
            [fixed.to_vec(), rest].concat()
        })
    }

    fn check(answer: Vec<u8>, want: Result<(), &str>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("private");
        let server = serve(UnixListener::bind(&socket).unwrap(), answer);
        let connection = Connection::to_systemd(&socket).unwrap();
        let got = connection.run_job("StopUnit", "a.slice", &[Value::text("a.slice")]);
        match want {
            Ok(()) => got.unwrap(),
            Err(words) => {
                let error = got.unwrap_err().to_string();
                assert!(error.contains(words), "{error:?} does not say {words:?}");
            }
        }
        let asked = message::parse(&server.join().unwrap()).unwrap();
        assert_eq!(
            (asked.member.as_deref(), asked.texts.len()),
            (Some("StopUnit"), 1)
        );
    }

    #[test]
    fn a_job_is_waited_for() {
        let reply = || from_systemd(2, 1, "x", &["/job/7"]);
        let ended = |job, result| from_systemd(4, 0, "JobRemoved", &[job, "a.slice", result]);
        check(
            [reply(), ended("/job/6", "failed"), ended("/job/7", "done")].concat(),
            Ok(()),
        );
        check([ended("/job/7", "done"), reply()].concat(), Ok(()));
        check(
            [reply(), ended("/job/7", "failed")].concat(),
            Err("the job ended as \"failed\""),
        );
        check(
            reply(),
            Err("StopUnit a.slice: failed to fill whole buffer"),
        );
    }

    #[test]
    fn refusals_and_nonsense() {
        let refused = from_systemd(3, 1, "x", &["no such thing"]);
        check(refused, Err("StopUnit a.slice: : no such thing"));
        check(vec![0; 64], Err("malformed D-Bus message"));
    }

    #[test]
    fn no_socket_says_what_to_do() {
        let error = Connection::to_systemd(Path::new("/nowhere/private"))
            .map(drop)
            .unwrap_err();
        assert!(
            error.to_string().contains("cgroup driver to cgroupfs"),
            "{error}"
        );
    }
}
