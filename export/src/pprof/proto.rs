//! The messages of pprof's `profile.proto` (package `perftools.profiles`), field by field as that file numbers them.
//!
//! Strings are indices into [`Profile::string_table`]; ids are never 0. See
//! <https://github.com/google/pprof/blob/main/proto/profile.proto>.

/// A profile. A file may hold it in pieces: protobuf joins the pieces' repeated fields.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Profile {
    /// What the values of a sample mean, in their order.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// The samples.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// The files that are mapped into the target.
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    /// Places in the code.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// Functions.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// All strings; the first is empty.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    /// Start, in nanoseconds since the Unix epoch.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    /// Length in nanoseconds.
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    /// What was sampled, and the unit of [`Profile::period`].
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    /// How far apart the samples are.
    #[prost(int64, tag = "12")]
    pub period: i64,
    /// Free text for the user.
    #[prost(int64, repeated, tag = "13")]
    pub comment: Vec<i64>,
    /// The sample type to show if nobody asks for another.
    #[prost(int64, tag = "14")]
    pub default_sample_type: i64,
}

/// What a number means.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ValueType {
    /// Kind of quantity.
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    /// Its unit.
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// Values for a stack.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sample {
    /// The stack, leaf first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// A value for each of [`Profile::sample_type`].
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    /// What is known beside the stack.
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// A label of a sample.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Label {
    /// The key.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// The value, if it is text.
    #[prost(int64, tag = "2")]
    pub str: i64,
    /// The value, if it is a number.
    #[prost(int64, tag = "3")]
    pub num: i64,
    /// The unit of the number.
    #[prost(int64, tag = "4")]
    pub num_unit: i64,
}

/// A file mapped into the target.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Mapping {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// First address.
    #[prost(uint64, tag = "2")]
    pub memory_start: u64,
    /// Address after the last.
    #[prost(uint64, tag = "3")]
    pub memory_limit: u64,
    /// Offset of the first address in the file.
    #[prost(uint64, tag = "4")]
    pub file_offset: u64,
    /// The file.
    #[prost(int64, tag = "5")]
    pub filename: i64,
    /// Its build id.
    #[prost(int64, tag = "6")]
    pub build_id: i64,
    /// Locations in this mapping have functions.
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
    /// Functions of this mapping have file names.
    #[prost(bool, tag = "8")]
    pub has_filenames: bool,
    /// Locations in this mapping have line numbers.
    #[prost(bool, tag = "9")]
    pub has_line_numbers: bool,
    /// Locations in this mapping have their inlined calls.
    #[prost(bool, tag = "10")]
    pub has_inline_frames: bool,
}

/// A place in the code.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Location {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The mapping it lies in; 0 for none.
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    /// Address in the target.
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// Innermost call first.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

/// A line of source.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Line {
    /// Id of the function.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// Line number.
    #[prost(int64, tag = "2")]
    pub line: i64,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Function {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Name for people.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// Name for the linker.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    /// Source file.
    #[prost(int64, tag = "4")]
    pub filename: i64,
    /// Line where it starts.
    #[prost(int64, tag = "5")]
    pub start_line: i64,
}
