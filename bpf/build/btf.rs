//! Reads the structures out of an object's BTF (Documentation/bpf/btf.rst of the kernel, version 1 of the format).

use object::{Object as _, ObjectSection as _};

/// A type as far as shared structures need it.
#[derive(Clone, Debug)]
pub(crate) enum Type {
    /// An unsigned integer of so many bytes.
    Int { bytes: u32 },
    /// Another name of a type.
    Alias { of: u32 },
    /// A fixed array.
    Array { of: u32, length: u32 },
    /// A structure.
    Struct { name: String, bytes: u32, members: Vec<Member> },
    /// What no shared structure may hold.
    Other,
}

/// One member of a structure.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) of: u32,
    pub(crate) offset_bytes: u32,
}

/// All types of an object; BTF numbers them from 1.
pub(crate) struct Types(Vec<Type>);

impl Types {
    /// # Errors
    /// When the object has no BTF, or one that ends too early.
    pub(crate) fn of_object(bytes: &[u8]) -> Result<Self, String> {
        let file = object::File::parse(bytes).map_err(|e| format!("read ELF: {e}"))?;
        let section = file.section_by_name(".BTF").ok_or("no .BTF section: was it compiled with -g?")?;
        let btf = section.data().map_err(|e| format!("read .BTF: {e}"))?;
        parse(btf).ok_or_else(|| "the .BTF section ends too early".to_owned())
    }

    pub(crate) fn get(&self, id: u32) -> &Type {
        self.0.get(id as usize).unwrap_or(&Type::Other)
    }

    pub(crate) fn structure(&self, wanted: &str) -> Option<&Type> {
        self.0.iter().find(|t| matches!(t, Type::Struct { name, .. } if name == wanted))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn parse(btf: &[u8]) -> Option<Types> {
    let header = word(btf, 4)? as usize;
    let types = header + word(btf, 8)? as usize;
    let types_end = types + word(btf, 12)? as usize;
    let strings = header + word(btf, 16)? as usize;
    let text = |offset: u32| {
        let rest = btf.get(strings + offset as usize..)?;
        let end = rest.iter().position(|b| *b == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    let mut all = vec![Type::Other];
    let mut at = types;
    while at < types_end {
        let (name, info, size_or_type) = (word(btf, at)?, word(btf, at + 4)?, word(btf, at + 8)?);
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let rest = at + 12;
        let (one, bytes) = match kind {
            // INT: bit 24 of its word says signed.
            1 if word(btf, rest)? >> 24 & 1 == 0 => (Type::Int { bytes: size_or_type }, 4),
            1 => (Type::Other, 4),
            3 => (Type::Array { of: word(btf, rest)?, length: word(btf, rest + 8)? }, 12),
            4 => {
                let members = (0..count).map(|i| member(btf, rest + i * 12, &text)).collect::<Option<_>>()?;
                (Type::Struct { name: text(name)?, bytes: size_or_type, members }, count * 12)
            }
            // UNION, DATASEC and ENUM64 have three words for each element.
            5 | 15 | 19 => (Type::Other, count * 12),
            // ENUM and FUNC_PROTO have two.
            6 | 13 => (Type::Other, count * 8),
            // TYPEDEF, and the qualifiers.
            8..=11 => (Type::Alias { of: size_or_type }, 0),
            // VAR and DECL_TAG have one word.
            14 | 17 => (Type::Other, 4),
            _ => (Type::Other, 0),
        };
        all.push(one);
        at = rest + bytes;
    }
    Some(Types(all))
}

fn member(btf: &[u8], at: usize, text: &impl Fn(u32) -> Option<String>) -> Option<Member> {
    Some(Member { name: text(word(btf, at)?)?, of: word(btf, at + 4)?, offset_bytes: word(btf, at + 8)? / 8 })
}
