//! A DHCP server on the other end of a machine's wire: frames of Ethernet in datagrams, as QEMU's
//! `-netdev dgram` carries them.
//!
//! Written from RFC 2131 apart from the client. Invariant: it answers what its rule says, and keeps
//! what it heard.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Its own address, and that of its one client.
const OWN: [u8; 4] = [10, 5, 0, 1];
const CLIENT: [u8; 4] = [10, 5, 0, 66];
const MAC: [u8; 6] = [0x52, 0x55, 10, 5, 0, 1];

/// What was heard: message type, `ciaddr`, and whether it came to everyone.
pub(crate) type Heard = (u8, [u8; 4], bool);

pub(crate) struct Server {
    heard: Arc<Mutex<Vec<Heard>>>,
    /// QEMU's words for the card.
    pub(crate) hardware: String,
}

impl Server {
    /// A server that acknowledges `grants` requests with these options and then says nothing.
    pub(crate) fn start(options: Vec<u8>, grants: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = socket.local_addr().unwrap().port();
        // A port that is free now, for QEMU.
        let other = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let hardware = format!(
            "-netdev dgram,id=n0,local.type=inet,local.host=127.0.0.1,local.port={other},\
             remote.type=inet,remote.host=127.0.0.1,remote.port={own} \
             -device virtio-net-pci,netdev=n0"
        );
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        socket.set_read_timeout(Some(Duration::from_secs(200))).unwrap();
        // Ends with its machine: nobody sends any more.
        std::thread::spawn(move || serve(&socket, &options, grants, &kept));
        Self { heard, hardware }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

fn serve(socket: &UdpSocket, options: &[u8], mut grants: usize, kept: &Mutex<Vec<Heard>>) {
    let mut frame = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut frame) {
        let frame = &frame[..length];
        match frame.get(12..14) {
            Some([8, 6]) if frame[20..22] == [0, 1] && frame[38..42] == OWN => {
                arp(socket, from, frame)
            }
            Some([8, 0]) if frame[23] == 17 && frame[36..38] == [0, 67] => {
                let message = &frame[42..];
                assert_eq!(message[236..242], [99, 130, 83, 99, 53, 1]);
                let (kind, own) = (message[242], message[12..16].try_into().unwrap());
                kept.lock().unwrap().push((kind, own, frame[..6] == [0xff; 6]));
                let answer = match kind {
                    1 if grants > 0 => 2,
                    3 if grants > 0 => {
                        grants -= 1;
                        5
                    }
                    _ => continue,
                };
                reply(socket, from, message, answer, options);
            }
            _ => {}
        }
    }
}

/// RFC 826: "I am", to who asked.
fn arp(socket: &UdpSocket, from: SocketAddr, frame: &[u8]) {
    let mut answer = frame[6..12].to_vec();
    answer.extend(MAC);
    answer.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    answer.extend(MAC);
    answer.extend(OWN);
    answer.extend(&frame[22..32]);
    socket.send_to(&answer, from).unwrap();
}

fn reply(socket: &UdpSocket, from: SocketAddr, asked: &[u8], kind: u8, options: &[u8]) {
    let mut message = vec![2, 1, 6, 0];
    message.extend(&asked[4..8]);
    message.extend([0; 8]);
    message.extend(CLIENT);
    message.extend([0; 8]);
    message.extend(&asked[28..44]);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, kind, 54, 4]);
    message.extend(OWN);
    message.extend(options);
    message.push(255);
    // By unicast to an address that the client has, to everyone before.
    let bound = asked[12..16] == CLIENT;
    let (mac, to) = if bound { (&asked[28..34], CLIENT) } else { (&[0xff; 6][..], [255; 4]) };
    let mut packet = vec![0x45, 0];
    packet.extend((28 + message.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(OWN);
    packet.extend(to);
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend([0, 67, 0, 68]);
    packet.extend((8 + message.len() as u16).to_be_bytes());
    // RFC 768: no checksum.
    packet.extend([0, 0]);
    packet.extend(message);
    let frame = [mac, &MAC, &[8, 0], &packet].concat();
    socket.send_to(&frame, from).unwrap();
}
