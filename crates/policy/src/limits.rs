//! How large things may be. A role beyond a limit is refused with a message that names it; a request
//! beyond one is refused, or makes the conditions that need it fail.
//!
//! Together they bound the work of one decision, whoever wrote the role and whoever sent the request.

/// Rules of one role.
pub const MAX_RULES: usize = 256;
/// Resource patterns, or action patterns, of one rule.
pub const MAX_PATTERNS: usize = 128;
/// Bytes of one pattern.
pub const MAX_PATTERN_BYTES: usize = 256;
/// Subjects bound to one role.
pub const MAX_SUBJECTS: usize = 1024;
/// Bytes of a subject's name.
pub const MAX_SUBJECT_NAME_BYTES: usize = 512;
/// Roles named in one `inherits`.
pub const MAX_INHERITS: usize = 32;
/// Roles a role has through inheritance, its parents' parents included.
pub const MAX_ANCESTORS: usize = 64;

/// Bytes of a condition's text.
pub const MAX_CONDITION_BYTES: usize = 4096;
/// How deep a condition's expression may be nested, counted as the operators, calls, selections and
/// brackets that stand around its innermost part.
pub const MAX_CONDITION_DEPTH: usize = 24;
/// Bytes of a regular expression in a condition.
pub const MAX_REGEX_BYTES: usize = 512;
/// Bytes a regular expression of a condition may take once compiled.
pub const MAX_REGEX_COMPILED_BYTES: usize = 128 * 1024;
/// Elements that all loops (`all`, `exists`, `exists_one`, `map`, `filter`) of one condition may
/// visit in one decision.
pub const MAX_LOOP_STEPS: usize = 4096;

/// Bytes of a requested resource.
pub const MAX_RESOURCE_BYTES: usize = 1024;
/// Segments of a requested resource.
pub const MAX_RESOURCE_SEGMENTS: usize = 64;
/// Bytes of a requested action.
pub const MAX_ACTION_BYTES: usize = 256;
/// JSON values (objects, arrays, strings, numbers …) that conditions of one decision may be handed.
pub const MAX_VALUES: usize = 10_000;
/// How deep the JSON handed to conditions may be nested.
pub const MAX_VALUE_DEPTH: usize = 32;
/// Bytes of text (keys and strings) in the JSON handed to conditions.
pub const MAX_VALUE_BYTES: usize = 256 * 1024;
