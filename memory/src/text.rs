//! Numbers in the kernel's text files.

/// The lines of `text`, without their ends.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b'\n')
}

/// The words of `text`: whatever blanks and tabs separate.
pub(crate) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b' ' || b == b'\t').filter(|word| !word.is_empty())
}

/// The number that `text` is, blanks around it aside.
pub(crate) fn number(text: &[u8], radix: u32) -> Option<u64> {
    let digits = text.trim_ascii();
    // from_str_radix would take a sign, which the kernel never writes before these.
    if digits.first() == Some(&b'+') {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// All decimal numbers in `text` that fit, up to the first word that is none.
pub(crate) fn numbers(text: &[u8]) -> Vec<u32> {
    words(text).map_while(|word| u32::try_from(number(word, 10)?).ok()).collect()
}
