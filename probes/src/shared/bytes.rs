//! Values as bytes, laid out as C does.

/// A value that has the same layout in Rust and in C, and that any bytes are a valid value of.
pub(crate) trait Shared: Copy {
    /// All bytes 0.
    const ZERO: Self;

    /// The value at the start of `bytes`; `None` if they are too few.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// Writes the value to the start of `to`. What does not fit is left out; bytes between fields are left as they are.
    fn write(&self, to: &mut [u8]);

    /// The bytes of the value; those between fields are 0.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; size_of::<Self>()];
        self.write(&mut bytes);
        bytes
    }
}

macro_rules! shared_number {
    ($($number:ty),*) => { $(
        impl Shared for $number {
            const ZERO: $number = 0;

            fn read(bytes: &[u8]) -> Option<$number> {
                bytes.first_chunk().map(|bytes| <$number>::from_ne_bytes(*bytes))
            }

            fn write(&self, to: &mut [u8]) {
                if let Some(to) = to.first_chunk_mut() {
                    *to = self.to_ne_bytes();
                }
            }
        }
    )* };
}

shared_number!(u8, u16, u32, u64);

impl<T: Shared, const N: usize> Shared for [T; N] {
    const ZERO: [T; N] = [T::ZERO; N];

    fn read(bytes: &[u8]) -> Option<[T; N]> {
        let mut all = Self::ZERO;
        for (index, element) in all.iter_mut().enumerate() {
            *element = T::read(bytes.get(index * size_of::<T>()..)?)?;
        }
        Some(all)
    }

    fn write(&self, to: &mut [u8]) {
        for (element, to) in self.iter().zip(to.chunks_mut(size_of::<T>())) {
            element.write(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_arrays_are_in_order() {
        let value: [[u16; 2]; 2] = [[1, 2], [3, 4]];
        let bytes = value.to_bytes();
        let expected: Vec<u8> = [1u16, 2, 3, 4].iter().flat_map(|number| number.to_ne_bytes()).collect();
        assert_eq!(bytes, expected);
        assert_eq!(<[[u16; 2]; 2]>::read(&bytes), Some(value));
        assert_eq!(<[[u16; 2]; 2]>::read(&bytes[..7]), None);
    }
}
