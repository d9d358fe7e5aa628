//! What the data path allocates, counted on the worker's own thread. A program of its own, because the
//! allocator is the whole program's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unsafe_code, reason = "an allocator that counts, around the system's")]

use millpond::config::load::adhoc;
use millpond::config::model::{AdminListen, Protocol};
use millpond::supervisor::Supervisor;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const TIMES: u64 = 1000;
/// What a worker may do meanwhile that has nothing to do with what is counted, such as firing a timer.
const BY_TIME: u64 = 20;

/// What goes to and fro on a connection that stays open.
struct Case {
    name: &'static str,
    protocol: Protocol,
    request: &'static [u8],
    answer: &'static [u8],
    /// The last bytes of the request that reach the origin, and of the answer that reach the client.
    ends: &'static [u8],
    answer_ends: &'static [u8],
}

const CASES: [Case; 4] = [
    Case {
        name: "a request",
        protocol: Protocol::Http,
        request: b"GET /a?b=c HTTP/1.1\r\nHost: app.example\r\nAccept: */*\r\nUser-Agent: test/1\r\n\r\n",
        answer: b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
        ends: b"\r\n\r\n",
        answer_ends: b"\r\n\r\nhello",
    },
    Case {
        name: "a request with a body, answered in chunks",
        protocol: Protocol::Http,
        request: b"POST /a HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\n\r\nlast",
        answer: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ends: b"last",
        answer_ends: b"0\r\n\r\n",
    },
    Case {
        name: "a request in chunks, answered without a body",
        protocol: Protocol::Http,
        request:
            b"PUT /a HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        answer: b"HTTP/1.1 204 No Content\r\n\r\n",
        ends: b"\r\n0\r\n\r\n",
        answer_ends: b"\r\n\r\n",
    },
    Case {
        name: "a round trip in TCP",
        protocol: Protocol::Tcp,
        request: b"ping",
        answer: b"pong",
        ends: b"ping",
        answer_ends: b"pong",
    },
];

/// Buffers and what serves requests come from the worker's own lists.
#[test]
fn what_goes_to_and_fro_on_open_connections_allocates_nothing() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    for case in CASES {
        let mut config = adhoc(listen, &[origin(&case)], case.protocol, &|_| None).unwrap().config;
        config.runtime.workers = 1;
        config.admin.listen = AdminListen::Tcp(listen);
        let proxy = Supervisor::start(config).unwrap();
        let address = proxy.registry().running().listeners[0].address.0;
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();

        exchange(&mut client, &case, 100);
        let before = allocations_of("worker-0");
        exchange(&mut client, &case, TIMES);
        let made = allocations_of("worker-0") - before;

        proxy.stop();
        proxy.wait();
        assert!(before > 0, "allocations are not counted");
        assert!(made <= BY_TIME, "{}: {made} allocations in {TIMES}", case.name);
    }
}

fn exchange(client: &mut TcpStream, case: &Case, times: u64) {
    let mut answer = [0; 1024];
    for _ in 0..times {
        client.write_all(case.request).unwrap();
        let mut len = 0;
        while !answer[..len].ends_with(case.answer_ends) {
            let read = client.read(&mut answer[len..]).unwrap();
            assert!(read > 0, "the proxy closed");
            len += read;
        }
    }
}

/// Answers the case's request on every connection.
fn origin(case: &Case) -> SocketAddr {
    let (ends, answer) = (case.ends, case.answer);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            std::thread::spawn(move || serve(connection.unwrap(), ends, answer));
        }
    });
    address
}

fn serve(mut connection: TcpStream, ends: &[u8], answer: &[u8]) {
    let (mut request, mut len) = ([0; 4096], 0);
    while let Ok(read @ 1..) = connection.read(&mut request[len..]) {
        len += read;
        if request[..len].ends_with(ends) {
            len = 0;
            connection.write_all(answer).unwrap();
        }
    }
}

/// Allocations, and growths of what was allocated, of the thread of this name.
fn allocations_of(name: &str) -> u64 {
    let named = |slot: &&Slot| {
        let comm = format!("/proc/self/task/{}/comm", slot.thread.load(Relaxed));
        std::fs::read_to_string(comm).is_ok_and(|comm| comm.trim_end() == name)
    };
    let slot = SLOTS.iter().find(named).expect("there is such a thread, and it has allocated");
    slot.count.load(Relaxed)
}

/// One thread's count.
struct Slot {
    thread: AtomicI32,
    count: AtomicU64,
}

const THREADS: usize = 256;
static SLOTS: [Slot; THREADS] =
    [const { Slot { thread: AtomicI32::new(0), count: AtomicU64::new(0) } }; THREADS];
static TAKEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: Cell<Option<&'static Slot>> = const { Cell::new(None) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn count() {
        let slot = OWN.get().unwrap_or_else(|| {
            let slot = &SLOTS[TAKEN.fetch_add(1, Relaxed) % THREADS];
            slot.thread.store(rustix::thread::gettid().as_raw_nonzero().get(), Relaxed);
            OWN.set(Some(slot));
            slot
        });
        slot.count.fetch_add(1, Relaxed);
    }
}

// SAFETY: everything is done by the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; the block is the system's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}
