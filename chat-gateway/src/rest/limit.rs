use serde::Deserialize;

/// How many a page has: 1 to `MAX`, and `DEFAULT` unless asked for. Anything else is refused, so that nobody takes a
/// shortened page for the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Limit<const MAX: usize, const DEFAULT: usize>(pub(super) usize);

impl<const MAX: usize, const DEFAULT: usize> Default for Limit<MAX, DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const MAX: usize, const DEFAULT: usize> TryFrom<String> for Limit<MAX, DEFAULT> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(limit) if digits && (1..=MAX).contains(&limit) => Ok(Self(limit)),
            _ => Err(format!("`limit` is a whole number from 1 to {MAX}")),
        }
    }
}

#[cfg(feature = "openapi")]
impl<const MAX: usize, const DEFAULT: usize> utoipa::PartialSchema for Limit<MAX, DEFAULT> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let number = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::Integer);
        let bounds = number.minimum(Some(1)).maximum(Some(MAX)).default(Some(DEFAULT.into()));
        bounds.into()
    }
}

/// Always written out where it is used, since each list has its own bounds.
#[cfg(feature = "openapi")]
impl<const MAX: usize, const DEFAULT: usize> utoipa::ToSchema for Limit<MAX, DEFAULT> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_within_the_bounds_are_taken() {
        let limit = |text: &str| Limit::<200, 50>::try_from(text.to_owned()).map(|limit| limit.0);
        assert_eq!(limit("1"), Ok(1));
        assert_eq!(limit("200"), Ok(200));
        assert_eq!(Limit::<200, 50>::default().0, 50);
        for bad in ["", "0", "201", "-1", "+1", "1.0", " 1", "99999999999999999999", "many"] {
            assert!(limit(bad).is_err(), "{bad:?}");
        }
    }
}
