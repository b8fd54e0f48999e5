//! Numbers that stand for entries of a profile's tables.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index into its table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// Index into [`crate::Profile::strings`].
    StringId;
    /// Index into [`crate::Profile::functions`].
    FunctionId;
    /// Index into [`crate::Profile::locations`].
    LocationId;
    /// Index into [`crate::Profile::stacks`].
    StackId;
    /// Index into [`crate::Profile::label_sets`].
    LabelSetId;
    /// Index into [`crate::Profile::requests`].
    RequestId;
}
