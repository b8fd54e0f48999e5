//! Macros that define what is shared, in Rust and as text for the C header.

/// A structure as the C header has it.
pub(super) struct Structure {
    /// Its name in Rust.
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) size: usize,
    pub(super) fields: &'static [Field],
}

/// A field of a structure.
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Its type in Rust, such as `[u64; CLASSES]`.
    pub(super) kind: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) offset: usize,
}

/// A constant, or one value of an enumeration.
pub(super) struct Constant {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) value: u64,
}

/// An enumeration.
pub(super) struct Enumeration {
    /// Its name in Rust.
    pub(super) name: &'static str,
    /// What the names of its values begin with in C.
    pub(super) prefix: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) values: &'static [Constant],
}

/// Structures with the layout of C, each with a [`Structure`] in `STRUCTURE`.
macro_rules! shared_structures {
    ($(
        $(#[doc = $doc:literal])*
        struct $Name:ident { $( $(#[doc = $field_doc:literal])* $field:ident: $kind:ty, )* }
    )*) => { $(
        $(#[doc = $doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $Name { $( $(#[doc = $field_doc])* pub(crate) $field: $kind, )* }

        impl $Name {
            pub(super) const STRUCTURE: $crate::shared::define::Structure = $crate::shared::define::Structure {
                name: stringify!($Name),
                doc: &[$($doc),*],
                size: size_of::<$Name>(),
                fields: &[$( $crate::shared::define::Field {
                    name: stringify!($field),
                    kind: stringify!($kind),
                    doc: &[$($field_doc),*],
                    offset: std::mem::offset_of!($Name, $field),
                } ),*],
            };
        }

        impl $crate::shared::Shared for $Name {
            const ZERO: $Name = $Name { $( $field: <$kind as $crate::shared::Shared>::ZERO, )* };

            fn read(bytes: &[u8]) -> Option<$Name> {
                Some($Name { $( $field: $crate::shared::Shared::read(bytes.get(std::mem::offset_of!($Name, $field)..)?)?, )* })
            }

            fn write(&self, to: &mut [u8]) {
                $( if let Some(to) = to.get_mut(std::mem::offset_of!($Name, $field)..) {
                    self.$field.write(to);
                } )*
            }
        }
    )* };
}

/// An enumeration, with an [`Enumeration`] in `ENUMERATION` and its values in `ALL`.
macro_rules! shared_enumeration {
    (
        $(#[doc = $doc:literal])*
        $(#[derive($($derived:ident),*)])?
        $visible:vis enum $Name:ident($prefix:literal): $number:ty {
            $( $(#[doc = $value_doc:literal])* $value:ident = $is:expr, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq $(, $($derived),*)?)]
        #[repr($number)]
        $visible enum $Name { $( $(#[doc = $value_doc])* $value = $is, )* }

        impl $Name {
            /// All of them, in order.
            #[allow(dead_code, reason = "not every enumeration is gone through")]
            $visible const ALL: [$Name; [$(stringify!($value)),*].len()] = [$($Name::$value),*];

            pub(super) const ENUMERATION: $crate::shared::define::Enumeration = $crate::shared::define::Enumeration {
                name: stringify!($Name),
                prefix: $prefix,
                doc: &[$($doc),*],
                values: &[$( $crate::shared::define::Constant {
                    name: stringify!($value),
                    doc: &[$($value_doc),*],
                    value: $Name::$value as u64,
                } ),*],
            };
        }
    };
}

/// Constants, all of them in `CONSTANTS`.
macro_rules! shared_constants {
    ($( $(#[doc = $doc:literal])* $visible:vis const $NAME:ident: $kind:ty = $value:expr; )*) => {
        $( $(#[doc = $doc])* $visible const $NAME: $kind = $value; )*

        pub(super) const CONSTANTS: &[$crate::shared::define::Constant] = &[$( $crate::shared::define::Constant {
            name: stringify!($NAME),
            doc: &[$($doc),*],
            value: $NAME as u64,
        } ),*];
    };
}

pub(super) use {shared_constants, shared_enumeration, shared_structures};
