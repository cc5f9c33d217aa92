//! A program of somebody else's, as an administrator's tool might put it on our links.
#![allow(unsafe_code, reason = "aya loads programs from objects only, and this one is two instructions")]

use aya::programs::{
    LinkOrder, SchedClassifier,
    tc::{NlOptions, SchedClassifierLinkId, TcAttachOptions, TcHandle, qdisc_add_clsact},
};
use nestless_support::{clsact::Hook, hook::Way};
use std::{
    cell::RefCell,
    ffi::CString,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    path::Path,
};

// linux/bpf.h
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
/// `r0 = 0; exit`: "ok", and nobody else is asked.
const PASS: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];

#[repr(C)]
struct Load {
    program_type: u32,
    instructions: u32,
    first_instruction: u64,
    license: u64,
    log: [u64; 2],
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct Pin {
    path: u64,
    descriptor: u32,
    flags: u32,
}

pub(crate) struct Intruder {
    program: RefCell<SchedClassifier>,
    link: RefCell<Option<SchedClassifierLinkId>>,
}

impl Intruder {
    /// `pin` is a path on an eBPF file system where nothing is.
    pub(super) fn load(pin: &Path) -> Self {
        let (license, mut name) = (c"GPL", [0; 16]);
        name[..8].copy_from_slice(b"intruder");
        let load = Load {
            program_type: BPF_PROG_TYPE_SCHED_CLS,
            instructions: PASS.len() as u32,
            first_instruction: PASS.as_ptr() as u64,
            license: license.as_ptr() as u64,
            log: [0; 2],
            kernel_version: 0,
            flags: 0,
            name,
        };
        // SAFETY: the kernel has just given us this descriptor.
        let program = unsafe { OwnedFd::from_raw_fd(call(BPF_PROG_LOAD, &load)) };
        let path = CString::new(pin.to_str().unwrap()).unwrap();
        let descriptor = program.as_raw_fd().unsigned_abs();
        call(BPF_OBJ_PIN, &Pin { path: path.as_ptr() as u64, descriptor, flags: 0 });
        let program = SchedClassifier::from_pin(pin).unwrap();
        std::fs::remove_file(pin).unwrap();
        Self { program: RefCell::new(program), link: RefCell::default() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.program.borrow().info().unwrap().id()
    }

    /// Where it is asked before everybody.
    pub(crate) fn put_before(&self, way: Way, link: &str, hook: Hook) {
        let options = match way {
            Way::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
            Way::Clsact => {
                // There is one already where a filter of ours is.
                let _ = qdisc_add_clsact(link);
                TcAttachOptions::Netlink(NlOptions {
                    priority: 1,
                    handle: TcHandle::new(0, 9),
                    classid: None,
                })
            }
        };
        self.attach(link, hook, options);
    }

    /// As tools do that ask for no place.
    pub(crate) fn append(&self, link: &str, hook: Hook) {
        self.attach(link, hook, TcAttachOptions::TcxOrder(LinkOrder::default()));
    }

    fn attach(&self, link: &str, hook: Hook, options: TcAttachOptions) {
        let kind = match hook {
            Hook::Ingress => aya::programs::TcAttachType::Ingress,
            Hook::Egress => aya::programs::TcAttachType::Egress,
        };
        let id = self.program.borrow_mut().attach_with_options(link, kind, options).unwrap();
        *self.link.borrow_mut() = Some(id);
    }

    pub(crate) fn take_off(&self) {
        let link = self.link.borrow_mut().take().expect("it was put somewhere");
        self.program.borrow_mut().detach(link).unwrap();
    }
}

fn call<T>(command: libc::c_int, attributes: &T) -> i32 {
    // SAFETY: the kernel reads so many bytes of a live structure, which points to others that live.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    assert!(result >= 0, "bpf({command}): {}", std::io::Error::last_os_error());
    i32::try_from(result).unwrap()
}
