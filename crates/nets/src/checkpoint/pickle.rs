//! A pickle machine that can build dictionaries of tensors and nothing else.
//!
//! Python's pickles are programs. This machine knows the opcodes that `torch.save` writes (protocols 2 to 5) and the
//! classes that tensors are made of; at any other it stops with a [`Fault`]. Nothing is ever called: a class on the
//! list stands for a fixed way of putting values together, and classes that only describe a training run become
//! [`Value::Inert`]. Values live in one table and refer to each other by index, so that no program, however nested,
//! recurses, and the table is bounded.

use std::collections::HashMap;

use super::Fault;
use super::bytes::Bytes;
use super::weight::{Dtype, View};

/// Most values that a program may make: a checkpoint makes some twenty a tensor.
const MAX_VALUES: usize = 1 << 20;

/// Index of a value in its table.
pub(super) type Id = usize;

/// What a program builds.
#[derive(Debug)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i128),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// A dictionary, ordered or not. Of equal keys the last counts.
    Dict(Vec<(Id, Id)>),
    Class(Class),
    Storage(Storage<'a>),
    Tensor {
        storage: Storage<'a>,
        view: View,
    },
    /// Something that is allowed and of no interest.
    Inert,
}

/// The classes and functions on the list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Class {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
    Inert,
}

/// Where the values of tensors lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    /// Its name in the file.
    pub(super) key: &'a str,
    pub(super) dtype: Dtype,
    /// How many values it holds.
    pub(super) len: usize,
}

impl Class {
    fn find(module: &str, name: &str) -> Result<Self, Fault> {
        let class = match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::Bf16),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ByteStorage" | "BoolStorage") => Self::Storage(Dtype::U8),
            ("torch", "Size" | "device")
            | ("collections", "defaultdict" | "Counter")
            | ("builtins" | "__builtin__", "dict" | "list" | "set")
            | ("numpy", "dtype")
            | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar")
            | ("_codecs", "encode") => Self::Inert,
            _ => return Err(Fault::Forbidden(format!("{module}.{name}"))),
        };
        Ok(class)
    }
}

/// A program that has run.
#[derive(Debug)]
pub(super) struct Pickled<'a> {
    values: Vec<Value<'a>>,
    root: Id,
    /// Bytes of the program, up to and with its end.
    pub(super) length: usize,
}

impl<'a> Pickled<'a> {
    pub(super) fn root(&self) -> &Value<'a> {
        &self.values[self.root]
    }

    pub(super) fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id]
    }

    /// Every value the program made.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value<'a>> {
        self.values.iter()
    }

    /// The entries of a dictionary whose keys are texts; none where `dict` is no dictionary.
    pub(super) fn entries<'p>(&'p self, dict: &'p Value<'a>) -> impl Iterator<Item = (&'a str, &'p Value<'a>)> {
        let entries: &[(Id, Id)] = if let Value::Dict(entries) = dict { entries } else { &[] };
        entries.iter().filter_map(|&(key, value)| match self.value(key) {
            Value::Text(key) => Some((*key, self.value(value))),
            _ => None,
        })
    }
}

/// Runs the program at the start of `program`.
pub(super) fn run(program: &[u8]) -> Result<Pickled<'_>, Fault> {
    let mut machine = Machine {
        program: Bytes::new(program, "its pickle"),
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
    };
    while !machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickled { values: machine.values, root, length: machine.program.position() })
}

struct Machine<'a> {
    program: Bytes<'a>,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Entries copied from lists into dictionaries.
    copied: usize,
}

impl<'a> Machine<'a> {
    /// Runs one opcode; `true` at the end of the program.
    fn step(&mut self) -> Result<bool, Fault> {
        let opcode = self.program.u8()?;
        match opcode {
            b'.' => return Ok(true),
            // PROTO
            0x80 => match self.program.u8()? {
                2..=5 => {}
                protocol => return Err(Fault::Unsupported(format!("its pickle is of protocol {protocol}"))),
            },
            // FRAME: says how many bytes to read ahead.
            0x95 => self.program.skip(8)?,

            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' => {
                let value = self.program.i32()?;
                self.push(Value::Int(value.into()))?;
            }
            b'K' => {
                let value = self.program.u8()?;
                self.push(Value::Int(value.into()))?;
            }
            b'M' => {
                let value = self.program.u16()?;
                self.push(Value::Int(value.into()))?;
            }
            // LONG1
            0x8a => {
                let length = self.program.u8()?.into();
                let value = long(self.program.take(length)?)?;
                self.push(Value::Int(value))?;
            }
            // BINFLOAT
            b'G' => {
                self.program.skip(8)?;
                self.push(Value::Inert)?;
            }

            b'X' | b'T' => {
                let length = self.program.u32()? as usize;
                self.text(length)?;
            }
            // SHORT_BINUNICODE, SHORT_BINSTRING
            0x8c | b'U' => {
                let length = self.program.u8()?.into();
                self.text(length)?;
            }
            // BINUNICODE8
            0x8d => {
                let length = self.program.length()?;
                self.text(length)?;
            }
            // BINBYTES, SHORT_BINBYTES
            b'B' => {
                let length = self.program.u32()? as usize;
                self.program.skip(length)?;
                self.push(Value::Inert)?;
            }
            b'C' => {
                let length = self.program.u8()?.into();
                self.program.skip(length)?;
                self.push(Value::Inert)?;
            }

            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            // POP_MARK
            b'1' => {
                self.pop_to_mark()?;
            }
            // DUP
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }

            b']' => self.push(Value::List(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b')' => self.push(Value::Tuple(Vec::new()))?,
            // EMPTY_SET
            0x8f => self.push(Value::Inert)?,
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))?;
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))?;
            }
            // TUPLE1, TUPLE2, TUPLE3
            0x85..=0x87 => {
                let mut items = Vec::with_capacity(3);
                for _ in 0..opcode - 0x84 {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Value::Tuple(items))?;
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set_items(&items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            // APPENDS, ADDITEMS
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }

            b'q' => {
                let slot = self.program.u8()?.into();
                self.remember(slot)?;
            }
            b'r' => {
                let slot = self.program.u32()?;
                self.remember(slot)?;
            }
            // MEMOIZE
            0x94 => {
                // More slots than a u32 counts would need a program of as many bytes.
                self.remember(self.memo.len() as u32)?;
            }
            b'h' => {
                let slot = self.program.u8()?.into();
                self.recall(slot)?;
            }
            b'j' => {
                let slot = self.program.u32()?;
                self.recall(slot)?;
            }

            b'c' => {
                let module = utf8(self.program.take_until(b'\n')?)?;
                let name = utf8(self.program.take_until(b'\n')?)?;
                self.push(Value::Class(Class::find(module, name)?))?;
            }
            // STACK_GLOBAL
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name]) else {
                    return Err(Fault::damaged("its pickle names a class by something other than texts"));
                };
                let class = Class::find(module, name)?;
                self.push(Value::Class(class))?;
            }
            // REDUCE, NEWOBJ
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                let made = self.make(class, arguments)?;
                self.push(made)?;
            }
            // BUILD: attributes of an object, such as the version notes of a state dictionary.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Value::Storage(storage))?;
            }
            _ => return Err(Fault::Forbidden(format!("pickle opcode 0x{opcode:02x}"))),
        }
        Ok(false)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), Fault> {
        if self.values.len() >= MAX_VALUES {
            return Err(Fault::Unsupported(format!("its pickle makes more than {MAX_VALUES} values")));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    /// Height below which the stack belongs to the open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, Fault> {
        let top = if self.stack.len() > self.floor() { self.stack.last() } else { None };
        top.copied().ok_or_else(|| Fault::damaged("its pickle takes a value from an empty stack"))
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| Fault::damaged("its pickle returns to a mark that is not set"))?;
        Ok(self.stack.split_off(mark))
    }

    fn text(&mut self, length: usize) -> Result<(), Fault> {
        let text = utf8(self.program.take(length)?)?;
        self.push(Value::Text(text))
    }

    fn append(&mut self, items: &[Id]) -> Result<(), Fault> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(items),
            Value::Inert => {}
            _ => return Err(Fault::damaged("its pickle appends to what is no list")),
        }
        Ok(())
    }

    /// Puts keys and values, in turn, into the dictionary on top of the stack.
    fn set_items(&mut self, items: &[Id]) -> Result<(), Fault> {
        let top = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Fault::damaged("its pickle has a key without a value"));
        }
        match &mut self.values[top] {
            Value::Dict(entries) => entries.extend(pairs.iter().map(|&[key, value]| (key, value))),
            Value::Inert => {}
            _ => return Err(Fault::damaged("its pickle sets an item of what is no dictionary")),
        }
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<(), Fault> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), Fault> {
        let id = self.memo.get(&slot).ok_or_else(|| Fault::damaged("its pickle recalls what it never made"))?;
        self.stack.push(*id);
        Ok(())
    }

    /// What a class on the list makes of its arguments.
    fn make(&mut self, class: Id, arguments: Id) -> Result<Value<'a>, Fault> {
        let (Value::Class(class), Value::Tuple(arguments)) = (&self.values[class], &self.values[arguments]) else {
            return Err(Fault::damaged("its pickle calls what is no class"));
        };
        match (class, arguments.as_slice()) {
            (Class::OrderedDict, []) => Ok(Value::Dict(Vec::new())),
            (Class::OrderedDict, &[list]) => self.dict_of_pairs(list),
            (Class::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                let Value::Storage(storage) = self.values[storage] else {
                    return Err(Fault::damaged("its pickle makes a tensor without a storage"));
                };
                let view =
                    View { offset: self.length(offset)?, shape: self.lengths(shape)?, strides: self.lengths(strides)? };
                Ok(Value::Tensor { storage, view })
            }
            (Class::RebuildParameter, &[tensor, ..]) => match &self.values[tensor] {
                Value::Tensor { storage, view } => Ok(Value::Tensor { storage: *storage, view: view.clone() }),
                _ => Err(Fault::damaged("its pickle makes a parameter without a tensor")),
            },
            (Class::Inert, _) => Ok(Value::Inert),
            (class, arguments) => {
                Err(Fault::Damaged(format!("its pickle makes a {class:?} of {} arguments", arguments.len())))
            }
        }
    }

    /// A dictionary of a list of pairs, as Python 2 wrote ordered dictionaries.
    fn dict_of_pairs(&mut self, list: Id) -> Result<Value<'a>, Fault> {
        let broken = || Fault::damaged("its pickle makes a dictionary of something other than pairs");
        let Value::List(pairs) = &self.values[list] else { return Err(broken()) };
        self.copied += pairs.len();
        if self.copied > MAX_VALUES {
            return Err(Fault::Unsupported(format!("its pickle copies more than {MAX_VALUES} values")));
        }
        let pair = |&pair: &Id| match &self.values[pair] {
            Value::Tuple(items) | Value::List(items) => match items.as_slice() {
                &[key, value] => Ok((key, value)),
                _ => Err(broken()),
            },
            _ => Err(broken()),
        };
        Ok(Value::Dict(pairs.iter().map(pair).collect::<Result<_, _>>()?))
    }

    /// The storage that a persistent id names: `("storage", class, key, device, length)`.
    fn storage(&self, id: Id) -> Result<Storage<'a>, Fault> {
        let broken = || Fault::damaged("its pickle names a storage in an unknown way");
        let Value::Tuple(id) = &self.values[id] else { return Err(broken()) };
        let &[kind, class, key, _device, len, ref views @ ..] = id.as_slice() else { return Err(broken()) };
        let (Value::Text("storage"), Value::Class(Class::Storage(dtype)), Value::Text(key)) =
            (&self.values[kind], &self.values[class], &self.values[key])
        else {
            return Err(broken());
        };
        if views.iter().any(|&view| !matches!(self.values[view], Value::None)) {
            return Err(Fault::Unsupported("its storages are views of others".into()));
        }
        Ok(Storage { key, dtype: *dtype, len: self.length(len)? })
    }

    /// A number that counts something.
    fn length(&self, id: Id) -> Result<usize, Fault> {
        match self.values[id] {
            Value::Int(value) => usize::try_from(value)
                .map_err(|_| Fault::Damaged(format!("its pickle has {value} where a length is due"))),
            _ => Err(Fault::damaged("its pickle has no number where a length is due")),
        }
    }

    /// A tuple of numbers that count something; no longer than the dimensions a tensor may have.
    fn lengths(&self, id: Id) -> Result<Vec<usize>, Fault> {
        match &self.values[id] {
            Value::Tuple(items) if items.len() <= View::MAX_RANK => items.iter().map(|&id| self.length(id)).collect(),
            Value::Tuple(items) => Err(Fault::Damaged(format!("a tensor has {} dimensions", items.len()))),
            _ => Err(Fault::damaged("its pickle makes a tensor without dimensions")),
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::damaged("a text in its pickle is not UTF-8"))
}

/// A little-endian number in two's complement, of any length up to 16 bytes.
fn long(bytes: &[u8]) -> Result<i128, Fault> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut wide = [if negative { 0xFF } else { 0 }; 16];
    let low = wide.get_mut(..bytes.len());
    let too_long = || Fault::Damaged(format!("its pickle has a number of {} bytes", bytes.len()));
    low.ok_or_else(too_long)?.copy_from_slice(bytes);
    Ok(i128::from_le_bytes(wide))
}
