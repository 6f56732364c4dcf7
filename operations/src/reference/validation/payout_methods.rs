//! By which rail people are paid.

use super::Checks;

const METHOD_BYTES_MAX: usize = 32;

impl Checks<'_> {
    /// Payout methods. A rail that isn't configured yet is taken: who chose it isn't paid until it
    /// is, and payout runs count them.
    pub fn payout_methods(&mut self) {
        let file = self.file;
        for (index, chosen) in file.payout_methods.iter().enumerate() {
            let path = format!("payout_methods[{index}]");
            self.date(format_args!("{path}.effective_at"), chosen.effective_at);
            let method = &chosen.method;
            let allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            let named = method.starts_with(|first: char| first.is_ascii_lowercase())
                && method.len() <= METHOD_BYTES_MAX
                && method.bytes().all(allowed);
            if !named {
                let what = format!(
                    "{method:?} is refused: a rail is called by 1 to {METHOD_BYTES_MAX} small \
                     letters, digits and `_`, a letter first"
                );
                self.refuse(format_args!("{path}.method"), what);
            }
            if let Some(destination) = &chosen.destination {
                self.name(format_args!("{path}.destination"), destination);
            }
        }
    }
}
