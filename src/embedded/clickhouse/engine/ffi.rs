//! chDB's C interface, and the only `unsafe` code of the engine.
//!
//! The functions and their contracts are those of `chdb.h` (26.7). What this module promises to
//! the rest: every handle is destroyed exactly once, a stream borrows its connection exclusively
//! (the library allows one statement at a time on a connection), and nothing is used after the
//! library reported its end.

#![expect(
    unsafe_code,
    reason = "chDB has a C interface only; each block says why it is sound"
)]

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::failure::EngineFailure;

/// `chdb_state`: what some functions return.
const CHDB_SUCCESS: c_int = 0;

/// `struct chdb_connection_`, known to the library only.
#[repr(C)]
struct RawConnection {
    _opaque: [u8; 0],
}

/// `chdb_result`, known to the library only.
#[repr(C)]
struct RawResult {
    _opaque: [u8; 0],
}

/// `struct chdb_insert_stream_`, known to the library only.
#[repr(C)]
struct RawInsertStream {
    _opaque: [u8; 0],
}

/// A statement with bound parameters: connection, text, format, then names and values.
type StatementFunction<R> = unsafe extern "C" fn(
    *mut RawConnection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> R;

/// Why the library can't be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("the library {} can't be loaded ({source})", path.display())]
    Open {
        path: PathBuf,
        source: libloading::Error,
    },
    #[error("the library {} is not the version that is needed ({source})", path.display())]
    Symbol {
        path: PathBuf,
        source: libloading::Error,
    },
}

/// The functions used, by the names of `chdb.h` without their prefix.
struct Functions {
    version: unsafe extern "C" fn() -> *const c_char,
    set_signal_handlers_enabled: unsafe extern "C" fn(c_int),
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut *mut RawConnection,
    close_conn: unsafe extern "C" fn(*mut *mut RawConnection),
    query: StatementFunction<*mut RawResult>,
    stream_query: StatementFunction<*mut RawResult>,
    stream_fetch: unsafe extern "C" fn(*mut RawConnection, *mut RawResult) -> *mut RawResult,
    stream_cancel: unsafe extern "C" fn(*mut RawConnection, *mut RawResult),
    destroy_result: unsafe extern "C" fn(*mut RawResult),
    stream_insert: StatementFunction<*mut RawInsertStream>,
    stream_append: unsafe extern "C" fn(*mut RawInsertStream, *const c_void, usize) -> c_int,
    stream_done: unsafe extern "C" fn(*mut RawInsertStream) -> *mut RawResult,
    stream_cancel_insert: unsafe extern "C" fn(*mut RawInsertStream),
    stream_insert_error: unsafe extern "C" fn(*mut RawInsertStream) -> *const c_char,
    destroy_insert_stream: unsafe extern "C" fn(*mut RawInsertStream),
    result_buffer: unsafe extern "C" fn(*mut RawResult) -> *mut c_char,
    result_length: unsafe extern "C" fn(*mut RawResult) -> usize,
    result_error: unsafe extern "C" fn(*mut RawResult) -> *const c_char,
    result_rows_read: unsafe extern "C" fn(*mut RawResult) -> u64,
    result_rows_written: unsafe extern "C" fn(*mut RawResult) -> u64,
    shutdown: unsafe extern "C" fn() -> c_int,
}

impl Functions {
    fn find(library: &Library) -> Result<Self, libloading::Error> {
        // SAFETY: each field's type is the declaration that `chdb.h` gives the function of that
        // name. The pointers stay valid because the library is never unloaded (see `Engine`).
        unsafe {
            Ok(Self {
                version: *library.get(c"chdb_version".to_bytes_with_nul())?,
                set_signal_handlers_enabled: *library
                    .get(c"chdb_set_signal_handlers_enabled".to_bytes_with_nul())?,
                connect: *library.get(c"chdb_connect".to_bytes_with_nul())?,
                close_conn: *library.get(c"chdb_close_conn".to_bytes_with_nul())?,
                query: *library.get(c"chdb_query_with_params_n".to_bytes_with_nul())?,
                stream_query: *library
                    .get(c"chdb_stream_query_with_params_n".to_bytes_with_nul())?,
                stream_fetch: *library.get(c"chdb_stream_fetch_result".to_bytes_with_nul())?,
                stream_cancel: *library.get(c"chdb_stream_cancel_query".to_bytes_with_nul())?,
                destroy_result: *library.get(c"chdb_destroy_query_result".to_bytes_with_nul())?,
                stream_insert: *library
                    .get(c"chdb_stream_insert_with_params_n".to_bytes_with_nul())?,
                stream_append: *library.get(c"chdb_stream_append".to_bytes_with_nul())?,
                stream_done: *library.get(c"chdb_stream_done".to_bytes_with_nul())?,
                stream_cancel_insert: *library
                    .get(c"chdb_stream_cancel_insert".to_bytes_with_nul())?,
                stream_insert_error: *library
                    .get(c"chdb_stream_insert_error".to_bytes_with_nul())?,
                destroy_insert_stream: *library
                    .get(c"chdb_destroy_insert_stream".to_bytes_with_nul())?,
                result_buffer: *library.get(c"chdb_result_buffer".to_bytes_with_nul())?,
                result_length: *library.get(c"chdb_result_length".to_bytes_with_nul())?,
                result_error: *library.get(c"chdb_result_error".to_bytes_with_nul())?,
                result_rows_read: *library.get(c"chdb_result_rows_read".to_bytes_with_nul())?,
                result_rows_written: *library
                    .get(c"chdb_result_rows_written".to_bytes_with_nul())?,
                shutdown: *library.get(c"chdb_shutdown".to_bytes_with_nul())?,
            })
        }
    }
}

/// The loaded library. There is one for the life of the process: its threads may run as long.
pub(super) struct Engine {
    functions: Functions,
    _library: Library,
}

impl Engine {
    /// Loads the library, once and for good, and keeps it from installing signal handlers.
    pub(super) fn load(path: &Path) -> Result<&'static Self, LoadError> {
        let _mask = SignalMask::save();
        // SAFETY: loading runs the library's initialisers. The file is the one that the operator
        // named or that our installer fetched and verified; its initialisers ask nothing of the
        // caller but to be left loaded. RTLD_LOCAL keeps its bundled libraries out of our way.
        let library =
            unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|source| {
                LoadError::Open {
                    path: path.to_path_buf(),
                    source,
                }
            })?;
        let functions = Functions::find(&library).map_err(|source| LoadError::Symbol {
            path: path.to_path_buf(),
            source,
        })?;
        let engine = Box::leak(Box::new(Self {
            functions,
            _library: library,
        }));
        // SAFETY: to be called before the first connection, and there is none yet: connections
        // are made from an `Engine`, and this one isn't returned before the call.
        unsafe { (engine.functions.set_signal_handlers_enabled)(0) };
        Ok(engine)
    }

    /// The library's version, such as `26.7.3`.
    pub(super) fn version(&self) -> String {
        // SAFETY: it returns a string that lives as long as the library.
        unsafe { text((self.functions.version)()) }.unwrap_or_default()
    }

    /// Ends the engine's threads. False when one could not be ended, as happens after an INSERT
    /// that failed; exiting is safe then too, as long as no statement runs.
    pub(super) fn shut_down(&self) -> bool {
        // SAFETY: it may be called from any thread at any time, and refuses while a connection is
        // open.
        unsafe { (self.functions.shutdown)() == CHDB_SUCCESS }
    }
}

/// Query parameters, by name without the `param_` prefix.
#[derive(Debug, Default, Clone)]
pub(super) struct Parameters {
    names: Vec<String>,
    values: Vec<String>,
}

impl Parameters {
    pub(super) fn push(&mut self, name: String, value: String) {
        self.names.push(name);
        self.values.push(value);
    }
}

/// The parallel arrays that the library takes, borrowed from [`Parameters`].
struct ParameterArrays<'a> {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
    _borrowed: PhantomData<&'a Parameters>,
}

impl<'a> ParameterArrays<'a> {
    fn new(parameters: &'a Parameters) -> Self {
        let pointers = |texts: &[String]| texts.iter().map(|text| text.as_ptr().cast()).collect();
        let lengths = |texts: &[String]| texts.iter().map(String::len).collect();
        Self {
            names: pointers(&parameters.names),
            name_lengths: lengths(&parameters.names),
            values: pointers(&parameters.values),
            value_lengths: lengths(&parameters.values),
            _borrowed: PhantomData,
        }
    }
}

/// One connection: a session with its own settings and current database.
pub(super) struct Connection {
    engine: &'static Engine,
    handle: NonNull<*mut RawConnection>,
}

// SAFETY: the library lets a connection be used from any thread, as long as its statements don't
// overlap. All methods take `&mut self`, and `Connection` isn't `Sync`.
unsafe impl Send for Connection {}

impl Connection {
    /// Opens a connection to the tables under `data`. All connections of a process share one
    /// directory.
    pub(super) fn open(engine: &'static Engine, data: &Path) -> Result<Self, EngineFailure> {
        let _mask = SignalMask::save();
        let mut path = OsStr::new("--path=").to_os_string();
        path.push(data);
        let arguments = [c"clickhouse".to_owned(), c_string(path.as_bytes())?];
        let mut pointers: Vec<*mut c_char> = arguments
            .iter()
            .map(|argument| argument.as_ptr().cast_mut())
            .collect();
        let count = c_int::try_from(pointers.len()).expect("two arguments fit an int");
        // SAFETY: `pointers` holds `count` NUL-terminated strings that outlive the call; like
        // `main`'s arguments they are only read.
        let handle = unsafe { (engine.functions.connect)(count, pointers.as_mut_ptr()) };
        let handle = NonNull::new(handle)
            .ok_or_else(|| EngineFailure::ours("the engine did not open its data directory"))?;
        Ok(Self { engine, handle })
    }

    fn raw(&self) -> *mut RawConnection {
        // SAFETY: the library returned a pointer to a connection handle, valid until it is closed,
        // which happens in `drop` only.
        unsafe { *self.handle.as_ptr() }
    }

    /// Runs one statement and returns its whole result in `format`.
    pub(super) fn query(
        &mut self,
        statement: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<QueryResult, EngineFailure> {
        let raw = self.call(self.engine.functions.query, statement, format, parameters);
        QueryResult::new(self.engine, raw)?.checked()
    }

    /// Starts a query whose result comes in chunks, each a whole document in `format`.
    pub(super) fn stream(
        &mut self,
        statement: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<QueryStream<'_>, EngineFailure> {
        let raw = self.call(
            self.engine.functions.stream_query,
            statement,
            format,
            parameters,
        );
        let stream = QueryResult::new(self.engine, raw)?.checked()?;
        Ok(QueryStream {
            connection: self,
            stream,
            ended: false,
        })
    }

    /// Starts an INSERT (its text without format and data) whose data follows in `format`.
    pub(super) fn insert(
        &mut self,
        statement: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<InsertStream<'_>, EngineFailure> {
        let raw = self.call(
            self.engine.functions.stream_insert,
            statement,
            format,
            parameters,
        );
        let handle = NonNull::new(raw)
            .ok_or_else(|| EngineFailure::ours("the engine did not open an insert"))?;
        let stream = InsertStream {
            connection: self,
            handle,
            finished: false,
        };
        match stream.error() {
            None => Ok(stream),
            Some(failure) => Err(failure),
        }
    }

    fn call<R>(
        &self,
        function: StatementFunction<R>,
        statement: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> R {
        let arrays = ParameterArrays::new(parameters);
        // SAFETY: every pointer comes with its length and is only read during the call, which the
        // borrowed statement, format and parameters outlive; the arrays have one entry per
        // parameter. The connection is open, and no other statement runs on it: the callers hold
        // it exclusively, streams included.
        unsafe {
            function(
                self.raw(),
                statement.as_ptr().cast(),
                statement.len(),
                format.as_ptr().cast(),
                format.len(),
                arrays.names.as_ptr(),
                arrays.name_lengths.as_ptr(),
                arrays.values.as_ptr(),
                arrays.value_lengths.as_ptr(),
                arrays.names.len(),
            )
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle is open and used no more: streams borrow the connection, so none is
        // left.
        unsafe { (self.engine.functions.close_conn)(self.handle.as_ptr()) };
    }
}

/// A result, or an error in a result's clothes until it is [checked](Self::checked).
pub(super) struct QueryResult {
    engine: &'static Engine,
    raw: NonNull<RawResult>,
}

impl QueryResult {
    fn new(engine: &'static Engine, raw: *mut RawResult) -> Result<Self, EngineFailure> {
        let raw = NonNull::new(raw)
            .ok_or_else(|| EngineFailure::ours("the engine returned no result"))?;
        Ok(Self { engine, raw })
    }

    fn checked(self) -> Result<Self, EngineFailure> {
        // SAFETY: the result is alive; the message, if any, lives as long as it and is copied.
        match unsafe { text((self.engine.functions.result_error)(self.raw.as_ptr())) } {
            Some(message) => Err(EngineFailure::of_engine(&message)),
            None => Ok(self),
        }
    }

    /// The bytes of the result.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the buffer belongs to the result, has the length that the library tells, isn't
        // changed any more, and lives until the result is destroyed, which the returned borrow
        // prevents. An empty result may have no buffer.
        unsafe {
            let length = (self.engine.functions.result_length)(self.raw.as_ptr());
            let buffer = (self.engine.functions.result_buffer)(self.raw.as_ptr());
            if buffer.is_null() || length == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(buffer.cast(), length)
            }
        }
    }

    /// Rows that the statement read.
    pub(super) fn rows_read(&self) -> u64 {
        // SAFETY: the result is alive.
        unsafe { (self.engine.functions.result_rows_read)(self.raw.as_ptr()) }
    }

    /// Rows that the statement wrote, into dependent views too.
    pub(super) fn rows_written(&self) -> u64 {
        // SAFETY: the result is alive.
        unsafe { (self.engine.functions.result_rows_written)(self.raw.as_ptr()) }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: the result is destroyed once, here.
        unsafe { (self.engine.functions.destroy_result)(self.raw.as_ptr()) };
    }
}

/// A query under way. Dropped before its end, it is cancelled.
pub(super) struct QueryStream<'c> {
    connection: &'c mut Connection,
    stream: QueryResult,
    ended: bool,
}

impl QueryStream<'_> {
    /// The next chunk, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<QueryResult>, EngineFailure> {
        if self.ended {
            return Ok(None);
        }
        // SAFETY: the stream is alive and belongs to this connection, which it borrows
        // exclusively, so fetches don't overlap.
        let raw = unsafe {
            (self.connection.engine.functions.stream_fetch)(
                self.connection.raw(),
                self.stream.raw.as_ptr(),
            )
        };
        let chunk = QueryResult::new(self.connection.engine, raw).and_then(QueryResult::checked);
        match chunk {
            Ok(chunk) if chunk.bytes().is_empty() => {
                self.ended = true;
                Ok(None)
            }
            Ok(chunk) => Ok(Some(chunk)),
            Err(failure) => {
                self.ended = true;
                Err(failure)
            }
        }
    }
}

impl Drop for QueryStream<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: the stream is alive and belongs to this connection; its handle is destroyed
            // afterwards, with the field.
            unsafe {
                (self.connection.engine.functions.stream_cancel)(
                    self.connection.raw(),
                    self.stream.raw.as_ptr(),
                );
            }
        }
    }
}

/// An INSERT under way. Dropped before it is finished, it is cancelled.
pub(super) struct InsertStream<'c> {
    connection: &'c mut Connection,
    handle: NonNull<RawInsertStream>,
    finished: bool,
}

impl InsertStream<'_> {
    /// Hands over more data, cut anywhere. Blocks while the engine is busy.
    pub(super) fn append(&mut self, data: &[u8]) -> Result<(), EngineFailure> {
        // SAFETY: the stream is alive and not finished; the library copies the data.
        let state = unsafe {
            (self.connection.engine.functions.stream_append)(
                self.handle.as_ptr(),
                data.as_ptr().cast(),
                data.len(),
            )
        };
        if state == CHDB_SUCCESS {
            Ok(())
        } else {
            Err(self
                .error()
                .unwrap_or_else(|| EngineFailure::ours("the engine took no more data")))
        }
    }

    /// Commits what was appended; its result counts the rows.
    pub(super) fn finish(mut self) -> Result<QueryResult, EngineFailure> {
        self.finished = true;
        // SAFETY: the stream is alive, and finished once because this takes it.
        let raw = unsafe { (self.connection.engine.functions.stream_done)(self.handle.as_ptr()) };
        QueryResult::new(self.connection.engine, raw)?.checked()
    }

    fn error(&self) -> Option<EngineFailure> {
        // SAFETY: the stream is alive; the message, if any, belongs to it and is copied.
        unsafe {
            text((self.connection.engine.functions.stream_insert_error)(
                self.handle.as_ptr(),
            ))
        }
        .map(|message| EngineFailure::of_engine(&message))
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        let functions = &self.connection.engine.functions;
        // SAFETY: the stream is alive, cancelled only if it wasn't finished, and destroyed once,
        // here, which the library asks for on every path.
        unsafe {
            if !self.finished {
                (functions.stream_cancel_insert)(self.handle.as_ptr());
            }
            (functions.destroy_insert_stream)(self.handle.as_ptr());
        }
    }
}

fn c_string(bytes: &[u8]) -> Result<CString, EngineFailure> {
    CString::new(bytes).map_err(|_| EngineFailure::ours("the data directory's name holds a NUL"))
}

/// A copy of the text at `pointer`, or `None` for a null pointer.
///
/// # Safety
/// `pointer` must be null or point to a NUL-terminated string that lives through the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as this function's caller promised.
    let text = unsafe { CStr::from_ptr(pointer) };
    Some(text.to_string_lossy().into_owned())
}

/// This thread's signal mask as it was, put back when the value is dropped: loading and connecting
/// leave SIGPIPE blocked.
struct SignalMask(libc::sigset_t);

impl SignalMask {
    fn save() -> Option<Self> {
        let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: with no new mask it only writes the current one to `mask`, which is only assumed
        // to be written when the call succeeded.
        unsafe {
            let status = libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), mask.as_mut_ptr());
            (status == 0).then(|| Self(mask.assume_init()))
        }
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // SAFETY: the mask is one that the system gave us; the old one isn't asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}
