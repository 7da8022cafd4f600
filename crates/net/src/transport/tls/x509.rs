//! What the crate `openssl` does not tell of a certificate. An extension that is absent is told
//! from one that cannot be read, and names are whole, whatever bytes are in them. Nothing here
//! leaves a copy that memory was not asked for. Uses `memory`, `error`.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_long, c_uchar, c_ulong, c_void};
use std::{ptr, slice};

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::asn1::{Asn1ObjectRef, Asn1StringRef};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::x509::{GeneralNameRef, X509, X509NameRef, X509Ref};
use openssl_sys::{
    ASN1_OBJECT, ASN1_STRING, ASN1_STRING_get0_data, ASN1_STRING_length, ASN1_STRING_to_UTF8, BIO,
    BIO_free_all, BIO_get_mem_data, BIO_new, BIO_new_mem_buf, BIO_s_mem, EXFLAG_BCONS, EXFLAG_CA,
    GEN_DNS, GEN_EMAIL, GEN_IPADD, GEN_URI, GENERAL_NAME, NID_basic_constraints, OBJ_obj2txt,
    OPENSSL_free, V_ASN1_OBJECT, X509_ALGOR, X509_ALGOR_get0, X509_NAME, X509_get_ext_by_NID,
    X509_get_ext_d2i, X509_get_extension_flags, i2d_X509,
};

use crate::error::Result;
use crate::memory::{copy, copy_text};

/// XN_FLAG_RFC2253, in x509.h: the form of a name that RFC 2253 and RFC 4514 have.
const RFC2253: c_ulong = 0x0111_0317;

/// The longest object identifier as text, in bytes. Those that are assigned have less than 70.
const LONGEST_OBJECT: usize = 256;

enum X509Pubkey {}

// SAFETY: as OpenSSL's headers declare them, from 3.0 on.
unsafe extern "C" {
    fn GENERAL_NAME_get0_value(name: *const GENERAL_NAME, kind: *mut c_int) -> *mut c_void;
    fn PEM_read_bio(
        from: *mut BIO,
        name: *mut *mut c_char,
        header: *mut *mut c_char,
        data: *mut *mut c_uchar,
        length: *mut c_long,
    ) -> c_int;
    fn X509_NAME_print_ex(
        out: *mut BIO,
        name: *const X509_NAME,
        indent: c_int,
        flags: c_ulong,
    ) -> c_int;
    fn X509_PUBKEY_get0_param(
        object: *mut *mut ASN1_OBJECT,
        key: *mut *const c_uchar,
        length: *mut c_int,
        algorithm: *mut *mut X509_ALGOR,
        from: *const X509Pubkey,
    ) -> c_int;
    fn i2d_X509_PUBKEY(key: *const X509Pubkey, out: *mut *mut c_uchar) -> c_int;
    fn X509_get_X509_PUBKEY(certificate: *const openssl_sys::X509) -> *mut X509Pubkey;
}

/// An extension of a certificate.
pub enum Extension<T> {
    Absent,
    /// It cannot be decoded, or the certificate has it twice.
    Unreadable,
    Value(T),
}

/// Returns the extension `nid`.
///
/// # Safety
/// `T` is the type that OpenSSL decodes this extension to.
pub unsafe fn extension<T: ForeignType>(certificate: &X509Ref, nid: Nid) -> Extension<T> {
    let mut critical = 0;
    // SAFETY: the certificate is alive, and the caller owns what is decoded; T is the caller's.
    unsafe {
        let (pointer, found) = (certificate.as_ptr(), &raw mut critical);
        let value = X509_get_ext_d2i(pointer, nid.as_raw(), found, ptr::null_mut());
        match (value.is_null(), critical) {
            (false, _) => Extension::Value(T::from_ptr(value.cast())),
            (true, -1) => Extension::Absent,
            (true, _) => Extension::Unreadable,
        }
    }
}

/// Whether the certificate is that of a CA, by its basic constraints (RFC 5280, section 4.2.1.9).
/// None if they cannot be read, and for a certificate older than version 3, which has none.
pub fn is_ca(certificate: &X509Ref) -> Option<bool> {
    // SAFETY: the certificate is alive; OpenSSL caches the flags behind a lock of its own.
    let (flags, at) = unsafe {
        let pointer = certificate.as_ptr();
        let flags = X509_get_extension_flags(pointer);
        (flags, X509_get_ext_by_NID(pointer, NID_basic_constraints, -1))
    };
    match flags & EXFLAG_BCONS != 0 {
        true => Some(flags & EXFLAG_CA != 0),
        false => (at < 0 && certificate.version() == 2).then_some(false),
    }
}

/// The kinds of general names that are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    Dns,
    Email,
    Ip,
    Uri,
}

/// Returns the bytes of a general name; none if it is of another kind.
pub fn general_name(name: &GeneralNameRef) -> Option<(NameKind, &[u8])> {
    let mut kind = 0;
    // SAFETY: the name is alive, and its value lives as long.
    let value = unsafe { GENERAL_NAME_get0_value(name.as_ptr(), &raw mut kind) };
    let kind = match kind {
        GEN_DNS => NameKind::Dns,
        GEN_EMAIL => NameKind::Email,
        GEN_IPADD => NameKind::Ip,
        GEN_URI => NameKind::Uri,
        _ => return None,
    };
    // SAFETY: the value of a name of these kinds is a string, which lives as long as the name.
    (!value.is_null()).then(|| (kind, unsafe { bytes_of(value.cast()) }))
}

/// # Safety
/// The string is alive as long as the bytes are used.
unsafe fn bytes_of<'a>(string: *const ASN1_STRING) -> &'a [u8] {
    // SAFETY: the caller's; an empty string may have no data.
    unsafe {
        let (data, length) = (ASN1_STRING_get0_data(string), ASN1_STRING_length(string));
        match usize::try_from(length) {
            Ok(length) if !data.is_null() => slice::from_raw_parts(data, length),
            _ => &[],
        }
    }
}

/// Returns a string in UTF-8; none if it is not of characters, or not of its own kind's.
pub fn utf8(string: &Asn1StringRef) -> Result<Option<Vec<u8>>> {
    let mut data = ptr::null_mut();
    // SAFETY: the string is alive; what is made belongs to the caller, and is freed once.
    unsafe {
        let length = ASN1_STRING_to_UTF8(&raw mut data, string.as_ptr());
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let text = copy(slice::from_raw_parts(data, length));
        OPENSSL_free(data.cast());
        text.map(Some)
    }
}

/// Returns a name as RFC 4514 writes it; none if an attribute cannot be written.
pub fn name_text(name: &X509NameRef) -> Result<Option<Vec<u8>>> {
    // SAFETY: the name is alive; the BIO is made, used and freed here.
    unsafe {
        let out = BIO_new(BIO_s_mem());
        if out.is_null() {
            return Ok(None);
        }
        let is_whole = X509_NAME_print_ex(out, name.as_ptr(), 0, RFC2253) >= 0;
        let mut data = ptr::null_mut();
        let text = match usize::try_from(BIO_get_mem_data(out, &raw mut data)) {
            Ok(length) if !data.is_null() => copy(slice::from_raw_parts(data.cast(), length)),
            _ => Ok(Vec::new()),
        };
        BIO_free_all(out);
        text.map(|text| is_whole.then_some(text))
    }
}

/// Returns the name that OpenSSL has for an object, the long or the short one, or else its numbers
/// with dots. None if these are too long.
pub fn object_text(object: &Asn1ObjectRef, is_long: bool) -> Result<Option<String>> {
    let nid = object.nid();
    let known = if is_long { nid.long_name() } else { nid.short_name() };
    match known {
        Ok(known) if nid != Nid::UNDEF => copy_text(known).map(Some),
        _ => numbers(object),
    }
}

fn numbers(object: &Asn1ObjectRef) -> Result<Option<String>> {
    let mut text = [0; LONGEST_OBJECT];
    let (room, size) = (text.as_mut_ptr().cast(), text.len() as c_int);
    // SAFETY: the object is alive, and OpenSSL writes no more than there is room for.
    let length = unsafe { OBJ_obj2txt(room, size, object.as_ptr(), 1) };
    let length = usize::try_from(length).ok().filter(|length| (1..text.len()).contains(length));
    let digits = length.and_then(|length| std::str::from_utf8(&text[..length]).ok());
    digits.map(copy_text).transpose()
}

/// Returns the algorithm of the public key, and the object that is its parameter, which for an
/// elliptic curve is the curve's name (RFC 5480, section 2.1.1).
pub fn key_algorithm(certificate: &X509Ref) -> Option<(&Asn1ObjectRef, Option<&Asn1ObjectRef>)> {
    let (mut object, mut algorithm) = (ptr::null_mut(), ptr::null_mut());
    let (mut kind, mut parameter) = (0, ptr::null());
    // SAFETY: all that is returned belongs to the certificate, and lives as long.
    unsafe {
        let key = X509_get_X509_PUBKEY(certificate.as_ptr());
        let (bytes, length) = (ptr::null_mut(), ptr::null_mut());
        if key.is_null()
            || X509_PUBKEY_get0_param(&raw mut object, bytes, length, &raw mut algorithm, key) != 1
            || object.is_null()
            || algorithm.is_null()
        {
            return None;
        }
        X509_ALGOR_get0(ptr::null_mut(), &raw mut kind, &raw mut parameter, algorithm);
        let is_object = kind == V_ASN1_OBJECT && !parameter.is_null();
        let parameter = is_object.then(|| Asn1ObjectRef::from_ptr(parameter.cast_mut().cast()));
        Some((Asn1ObjectRef::from_ptr(object), parameter))
    }
}

/// Calls `use_der` with the public key (SPKI) as the certificate has it. To encode the key anew
/// takes ten times as long.
pub fn with_key_der<T>(
    certificate: &X509Ref,
    use_der: impl FnOnce(&[u8]) -> T,
) -> std::result::Result<T, ErrorStack> {
    let mut der = ptr::null_mut();
    // SAFETY: the key belongs to the certificate. What is encoded is freed once.
    unsafe {
        let size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.as_ptr()), &raw mut der);
        let Some(size) = usize::try_from(size).ok().filter(|size| *size > 0) else {
            return Err(ErrorStack::get());
        };
        let used = use_der(slice::from_raw_parts(der, size));
        OPENSSL_free(der.cast());
        Ok(used)
    }
}

/// Returns how many bytes the certificate has in DER.
pub fn size(certificate: &X509Ref) -> usize {
    // SAFETY: the certificate is alive; without a place to write to, nothing is written.
    let size = unsafe { i2d_X509(certificate.as_ptr(), ptr::null_mut()) };
    usize::try_from(size).unwrap_or(0)
}

/// Decodes the first entry of a PEM text as a certificate, whatever its label. None if it is
/// encrypted: OpenSSL would ask for a password on the terminal.
pub fn decode_entry(text: &[u8]) -> std::result::Result<Option<X509>, ErrorStack> {
    let (mut name, mut header, mut data) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    let mut length = 0;
    let size = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
    // SAFETY: the BIO reads the text while that is alive. What OpenSSL gives out is freed once.
    unsafe {
        let from = BIO_new_mem_buf(text.as_ptr().cast(), size);
        if from.is_null() {
            return Err(ErrorStack::get());
        }
        let (words, fields) = (&raw mut name, &raw mut header);
        let is_read = PEM_read_bio(from, words, fields, &raw mut data, &raw mut length) == 1;
        BIO_free_all(from);
        if !is_read {
            return Err(ErrorStack::get());
        }
        // A header is there for encryption alone (RFC 1421, section 4.6.1.1).
        let is_plain = header.is_null() || *header == 0;
        let der = slice::from_raw_parts(data.cast_const(), usize::try_from(length).unwrap_or(0));
        let certificate = if is_plain { X509::from_der(der).map(Some) } else { Ok(None) };
        for block in [name.cast(), header.cast(), data.cast::<c_void>()] {
            OPENSSL_free(block);
        }
        certificate
    }
}
