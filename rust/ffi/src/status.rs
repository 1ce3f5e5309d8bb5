//! What a call says of itself. Numbers are part of the ABI: explicit, in blocks, never reused.

/// The result of a call. 0 is success without an answer, 1 to 99 are answers of a lookup, 100 and up errors.
/// Take a number you don't know for an error.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// A fresh entry.
    Hit = 1,
    /// An entry past its lifetime that may be served while a newer one is fetched.
    Stale = 2,
    /// The backend has no certificate for the name.
    Negative = 3,
    /// A fetch is under way; the token will be told.
    Pending = 4,
    /// Nothing is known, and without a token nothing is started.
    Miss = 5,
    /// The server name is none that anybody could own; the message says why.
    InvalidName = 6,
    /// The backend failed lately and is not asked again yet.
    BackedOff = 7,
    /// There was no room in the queue, or no worker in time.
    Overloaded = 8,
    /// There is no certificate for this client; the message says why.
    Failed = 9,
    /// The backend has a certificate, but of a kind that this client can't use.
    UnsupportedKeyType = 10,
    /// The handle is closed, or was never given out.
    Closed = 100,
    /// A pointer is NULL, a text is not UTF-8, or a number is out of range.
    InvalidArgument = 101,
    /// A bug in this library; the call had no effect that can be relied on.
    Panic = 102,
    /// The entry has left memory.
    Gone = 103,
    /// The key can't sign with this scheme, or the buffer is too small for the signature.
    SigningRejected = 104,
    /// The settings can't be used; the message says why.
    SettingsRejected = 105,
    /// The cache directory can't be used; the message says why.
    DirectoryRejected = 106,
    /// The operating system has no descriptor left for this.
    OutOfDescriptors = 107,
}
