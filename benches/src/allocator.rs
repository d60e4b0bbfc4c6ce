//! The system's allocator, counted. Register it with `#[global_allocator]`, then compare two
//! [`Count`]s.
//!
//! # Safety
//!
//! Every call goes to [`System`] with the arguments as they came, so its contract is kept by
//! whoever called; counting touches atomics only and cannot allocate.

#![allow(unsafe_code, reason = "`GlobalAlloc` cannot be implemented without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static FREED: AtomicU64 = AtomicU64::new(0);

/// Counts what is asked for, also by growing.
#[derive(Debug)]
pub struct Counting;

// SAFETY: see the head of this file.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(new_size);
        FREED.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        FREED.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

fn note(size: usize) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(size as u64, Ordering::Relaxed);
}

/// What was allocated: up to now, or between two moments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Count {
    /// Calls of `alloc`, `alloc_zeroed` and `realloc`.
    pub calls: u64,
    /// Bytes that these asked for.
    pub bytes: u64,
    /// Bytes that are not freed yet.
    pub live: u64,
}

impl Count {
    /// Up to now. All zero unless [`Counting`] is the global allocator.
    pub fn now() -> Self {
        let bytes = BYTES.load(Ordering::Relaxed);
        let live = bytes.saturating_sub(FREED.load(Ordering::Relaxed));
        Self { calls: CALLS.load(Ordering::Relaxed), bytes, live }
    }
}

impl Sub for Count {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            bytes: self.bytes - earlier.bytes,
            live: self.live.saturating_sub(earlier.live),
        }
    }
}
