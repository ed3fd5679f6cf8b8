//! The spelling of an enum's values in tables, files and output.

/// Gives an enum `ALL`, `as_str` and `parse`, from one list of its values and their spelling.
macro_rules! spelled {
    ($type:ident { $($value:ident => $text:literal),+ $(,)? }) => {
        impl $type {
            /// All values.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$value),+];

            /// Returns the spelling.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }

            /// Returns the value with this spelling.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$value),)+
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use spelled;
