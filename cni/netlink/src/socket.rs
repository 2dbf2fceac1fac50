//! A netlink socket of one network namespace: sends messages, gathers each one's answer. A transaction
//! of any size goes out in one piece: the socket's send buffer grows with it.
//!
//! The kernel answers before `send` returns, so nothing here waits for anything but a dump's next
//! part. A socket stays in the namespace it was opened in, wherever its thread goes later.

use std::borrow::Borrow;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::set_socket_send_buffer_size_force;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send,
    socket_with,
};

use crate::message::{ACK, Frame, Message, REQUEST, frames};
use crate::{Error, Result};

const RECEIVE_BUFFER: usize = 64 * 1024;
/// What every kernel's default send buffer takes.
const SEND_BUFFER: usize = 128 * 1024;

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes, neighbours.
    Route,
    /// nf_tables and connection tracking.
    Netfilter,
    /// Families that are found by name: IPVS.
    Generic,
}

/// The answer to one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Why the kernel refused, if it did.
    pub errno: Option<Errno>,
    /// The objects it sent.
    pub objects: Vec<Message>,
}

impl Outcome {
    /// The objects, or the refusal as an error of `step`.
    ///
    /// # Errors
    /// When the kernel refused the message.
    pub fn or_error(self, step: &str) -> Result<Vec<Message>> {
        match self.errno {
            Some(errno) => Err(Error::new(step, errno)),
            None => Ok(self.objects),
        }
    }
}

/// A socket bound to one namespace and protocol.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    seq: u32,
    buffer: Vec<u8>,
    send_buffer: usize,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel has no such protocol, or no descriptors are left.
    pub fn open(protocol: Protocol) -> Result<Self> {
        let (number, step) = match protocol {
            Protocol::Route => (None, "open route netlink socket"),
            Protocol::Netfilter => (Some(netlink::NETFILTER), "open netfilter netlink socket"),
            Protocol::Generic => (Some(netlink::GENERIC), "open generic netlink socket"),
        };
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            number,
        )
        .map_err(|errno| Error::new(step, errno))?;
        bind(&fd, &SocketAddrNetlink::new(0, 0)).map_err(|errno| Error::new(step, errno))?;
        Ok(Self {
            fd,
            seq: 0,
            buffer: vec![0; RECEIVE_BUFFER],
            send_buffer: SEND_BUFFER,
        })
    }

    /// Sends all messages in one system call and gathers one outcome for each, in order.
    /// The kernel works through them one by one and does not stop at a refused one.
    ///
    /// # Errors
    /// When the socket itself fails; a refused message is an outcome.
    pub fn request(&mut self, messages: &[Message]) -> Result<Vec<Outcome>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.send(messages, |_| ACK)?;
        let mut outcomes = vec![Outcome::default(); messages.len()];
        let mut open = messages.len();
        while open > 0 {
            for (seq, frame) in self.receive()? {
                let Some(outcome) = slot(&mut outcomes, first, seq) else {
                    continue;
                };
                match frame {
                    Frame::Object(message) => outcome.objects.push(message),
                    Frame::Ack(errno) => {
                        outcome.errno = errno;
                        open -= 1;
                    }
                    Frame::Done => open -= 1,
                }
            }
        }
        Ok(outcomes)
    }

    /// Sends one message and returns its objects.
    ///
    /// # Errors
    /// When the kernel refuses it; `step` names what was being done.
    pub fn one(&mut self, step: &str, message: Message) -> Result<Vec<Message>> {
        let mut outcomes = self.request(&[message])?;
        outcomes.pop().unwrap_or_default().or_error(step)
    }

    /// Sends one message and hands its objects over one by one, however many there are.
    ///
    /// # Errors
    /// When the kernel refuses it; `step` names what was being done.
    pub fn stream(
        &mut self,
        step: &str,
        message: &Message,
        mut each: impl FnMut(&Message),
    ) -> Result<()> {
        let first = self.send(std::iter::once(message), |_| ACK)?;
        loop {
            for (seq, frame) in self.receive()? {
                match frame {
                    _ if seq != first => {}
                    Frame::Object(object) => each(&object),
                    Frame::Ack(Some(errno)) => return Err(Error::new(step, errno)),
                    Frame::Ack(None) | Frame::Done => return Ok(()),
                }
            }
        }
    }

    /// Sends a transaction: `messages` between a begin and an end mark. All or nothing is applied.
    ///
    /// # Errors
    /// The first refusal, with the index of its message within `messages` where it has one.
    pub fn transaction(
        &mut self,
        begin: Message,
        messages: Vec<Message>,
        end: Message,
    ) -> Result<std::result::Result<(), Refusal>> {
        let Some(last_index) = messages.len().checked_sub(1) else {
            return Ok(Ok(()));
        };
        let all = std::iter::once(begin).chain(messages).chain(Some(end));
        let first = self.send(all, |i| if i == last_index + 1 { ACK } else { 0 })?;
        let mut refusal: Option<Refusal> = None;
        loop {
            for (seq, frame) in self.receive()? {
                let Frame::Ack(errno) = frame else { continue };
                let index = seq.wrapping_sub(first) as usize;
                if let (Some(errno), None) = (errno, refusal) {
                    refusal = Some(Refusal {
                        errno,
                        index: index.checked_sub(1),
                    });
                }
                if index == 0 || index == last_index + 1 {
                    return Ok(refusal.map_or(Ok(()), Err));
                }
            }
        }
    }

    fn send<M: Borrow<Message>>(
        &mut self,
        messages: impl IntoIterator<Item = M>,
        flags: impl Fn(usize) -> u16,
    ) -> Result<u32> {
        let first = self.seq.wrapping_add(1);
        let mut bytes = Vec::new();
        for (index, message) in messages.into_iter().enumerate() {
            self.seq = self.seq.wrapping_add(1);
            let flags = REQUEST | flags(index);
            message.borrow().write(self.seq, flags, &mut bytes);
        }
        self.make_room(bytes.len())?;
        send(&self.fd, &bytes, SendFlags::empty())
            .map_err(|errno| Error::new("send to netlink", errno))?;
        Ok(first)
    }

    fn make_room(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.send_buffer {
            set_socket_send_buffer_size_force(&self.fd, bytes)
                .map_err(|errno| Error::new("grow netlink send buffer", errno))?;
            self.send_buffer = bytes;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<Vec<(u32, Frame)>> {
        loop {
            match recv(&self.fd, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, length)) => return Ok(frames(&self.buffer[..length.min(RECEIVE_BUFFER)])),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::new("receive from netlink", errno)),
            }
        }
    }
}

/// Why a transaction was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The kernel's answer.
    pub errno: Errno,
    /// Which message it refused; `None` where it refused the transaction as a whole.
    pub index: Option<usize>,
}

fn slot(outcomes: &mut [Outcome], first: u32, seq: u32) -> Option<&mut Outcome> {
    outcomes.get_mut(seq.wrapping_sub(first) as usize)
}
