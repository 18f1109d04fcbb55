//! Checkpoints in every form, broken and hostile ones, and what the registry makes of them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;

use framelift_nets::checkpoint::{Fault, Weight};
use framelift_nets::{Checkpoint, CheckpointError, ModelError, builtin, detect, known};
use framelift_testkit::golden::Array;
use framelift_testkit::pth::{self, Packing, Pickle, Stored};
use framelift_testkit::{synth, test_data};

type Arrays = BTreeMap<String, Array>;

/// Tensors of a small network whose values every type can hold.
fn small() -> Arrays {
    let mut arrays = synth::compact(4, 1, 2);
    for array in arrays.values_mut() {
        array.values.iter_mut().for_each(|v| *v = (*v * 64.0).round() / 64.0);
    }
    arrays
}

fn open(bytes: &[u8]) -> Result<Checkpoint, Fault> {
    Checkpoint::from_bytes("test", bytes).map_err(|error| match error {
        CheckpointError::Content { fault, .. } => fault,
        other => panic!("{other}"),
    })
}

/// The tensors of a checkpoint, to compare with arrays.
fn arrays(checkpoint: &Checkpoint) -> Arrays {
    let array = |weight: &Weight| Array { shape: weight.shape().to_vec(), values: weight.values().to_vec() };
    checkpoint.tensors().iter().map(|(name, weight)| (name.clone(), array(weight))).collect()
}

/// The same names under a prefix, each value plus `offset`.
fn prefixed(arrays: &Arrays, prefix: &str, offset: f32) -> Arrays {
    let array =
        |array: &Array| Array { shape: array.shape.clone(), values: array.values.iter().map(|v| v + offset).collect() };
    arrays.iter().map(|(name, a)| (format!("{prefix}{name}"), array(a))).collect()
}

/// A zip archive of a pickle and one storage of `values`.
fn archive(pickle: Vec<u8>, values: &[f32]) -> Vec<u8> {
    let storage = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    pth::zip(&[("x/data.pkl".into(), pickle), ("x/data/0".into(), storage)])
}

#[test]
fn every_form_gives_the_same_tensors() {
    let due = small();
    assert_eq!(arrays(&open(&synth::to_safetensors(&due)).unwrap()), due);
    for stored in [Stored::F64, Stored::F32, Stored::F16, Stored::Bf16] {
        for name in ["", "params", "params_ema", "state_dict"] {
            assert_eq!(arrays(&open(&pth::to_zip(&[(name, &due)], stored)).unwrap()), due, "{stored:?} {name}");
            assert_eq!(arrays(&open(&pth::to_legacy(&[(name, &due)], stored)).unwrap()), due, "{stored:?} {name}");
        }
    }
}

#[test]
fn archives_may_be_packed_in_other_ways() {
    let due = small();
    for packing in [Packing::Stored, Packing::Deflated, Packing::Zip64] {
        let file = pth::to_zip_packed(&[("params", &due)], Stored::F32, packing);
        assert_eq!(arrays(&open(&file).unwrap()), due, "{packing:?}");
        for length in 0..file.len() {
            assert!(open(&file[..length]).is_err(), "{packing:?}: {length} bytes of {}", file.len());
        }
        // A comment at the end, as some programs leave it.
        let mut commented = file;
        let end = commented.len();
        commented[end - 2] = 5;
        commented.extend(b"hello");
        assert_eq!(arrays(&open(&commented).unwrap()), due, "{packing:?}");
    }
}

/// An archive whose storage deflates a thousandfold: a small file that would fill the memory.
#[test]
fn archives_that_grow_without_bound_are_refused() {
    const VALUES: usize = 1 << 20;
    let zeros = miniz_oxide::deflate::compress_to_vec(&vec![0; 4 * VALUES], 9);
    assert!(zeros.len() < 8192);
    let pickle = Pickle::new().raw(b"}").text("w").tensor(Stored::F32, "0", VALUES, (0, &[VALUES], &[1])).raw(b"s");
    let mut file = pth::zip(&[("x/data.pkl".into(), pickle.end()), ("x/data/0".into(), zeros)]);
    // The second entry of the directory: method deflate, its size unpacked.
    let entry = file.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    file[entry + 10] = 8;
    file[entry + 24..entry + 28].copy_from_slice(&(4 * VALUES as u32).to_le_bytes());
    let fault = open(&file).unwrap_err();
    assert!(fault.to_string().contains("packed more tightly"), "{fault}");
    // A size that is understated is no way around.
    file[entry + 24..entry + 28].copy_from_slice(&4096_u32.to_le_bytes());
    let fault = open(&file).unwrap_err();
    assert!(fault.to_string().contains("cannot be unpacked"), "{fault}");
}

#[test]
fn averaged_weights_come_first() {
    let due = small();
    let other = prefixed(&due, "", 1.0);
    for dicts in [[("params", &other), ("params_ema", &due)], [("params_ema", &due), ("params", &other)]] {
        assert_eq!(arrays(&open(&pth::to_zip(&dicts, Stored::F32)).unwrap()), due);
        assert_eq!(arrays(&open(&pth::to_legacy(&dicts, Stored::F32)).unwrap()), due);
    }

    let mut both = prefixed(&due, "generator_ema.", 0.0);
    both.extend(prefixed(&due, "generator.", 1.0));
    both.extend(prefixed(&due, "discriminator.", 2.0));
    assert_eq!(arrays(&open(&pth::to_zip(&[("state_dict", &both)], Stored::F32)).unwrap()), due);
    assert_eq!(arrays(&open(&synth::to_safetensors(&both)).unwrap()), due);

    both.retain(|name, _| !name.starts_with("generator_ema."));
    assert_eq!(arrays(&open(&pth::to_zip(&[("state_dict", &both)], Stored::F32)).unwrap()), prefixed(&due, "", 1.0));
    let parallel = prefixed(&due, "module.", 0.0);
    assert_eq!(arrays(&open(&pth::to_zip(&[("", &parallel)], Stored::F32)).unwrap()), due);
}

#[test]
fn tensors_may_be_any_view_of_a_storage() {
    let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let view = |offset: usize, shape: &[usize], strides: &[usize]| {
        let pickle = Pickle::new().raw(b"}").text("w").tensor(Stored::F32, "0", 24, (offset, shape, strides)).raw(b"s");
        open(&archive(pickle.end(), &values)).map(|checkpoint| checkpoint.get("w").unwrap().clone())
    };
    let weight = |shape: &[usize], values: &[f32]| Weight::new(shape.to_vec(), values.to_vec()).unwrap();
    assert_eq!(view(5, &[2, 2], &[2, 1]).unwrap(), weight(&[2, 2], &[5.0, 6.0, 7.0, 8.0]));
    assert_eq!(view(1, &[2, 3], &[1, 4]).unwrap(), weight(&[2, 3], &[1.0, 5.0, 9.0, 2.0, 6.0, 10.0]));
    assert_eq!(
        view(0, &[4, 1, 3], &[6, 99, 2]).unwrap().values(),
        [0., 2., 4., 6., 8., 10., 12., 14., 16., 18., 20., 22.]
    );
    assert_eq!(view(23, &[], &[]).unwrap(), weight(&[], &[23.0]));
    assert_eq!(view(0, &[0, 7], &[7, 1]).unwrap(), weight(&[0, 7], &[]));
    // One value repeated within the storage's size is odd and harmless.
    assert_eq!(view(3, &[2], &[0]).unwrap(), weight(&[2], &[3.0, 3.0]));

    for (offset, shape, strides) in [
        (24, &[1][..], &[1][..]),
        (0, &[25], &[1]),
        (0, &[5, 5], &[5, 1]),
        (0, &[5, 5], &[0, 1]),
        (1, &[2, 12], &[12, 1]),
        (0, &[1 << 40, 1 << 40], &[0, 0]),
        (0, &[2], &[usize::MAX]),
        (usize::MAX >> 1, &[2], &[usize::MAX >> 1]),
        (0, &[2, 2], &[1]),
    ] {
        let fault = view(offset, shape, strides).unwrap_err();
        assert!(matches!(fault, Fault::Damaged(_)), "{shape:?} {strides:?}: {fault}");
    }
}

#[test]
fn classes_that_weights_do_not_need_are_named_and_refused() {
    for (module, name) in [("posix", "system"), ("builtins", "eval"), ("torch", "load"), ("os", "popen")] {
        let call = Pickle::new().raw(b"}").text("params").class(module, name).text("touch x").raw(b"\x85Rs").end();
        let fault = open(&archive(call, &[])).unwrap_err();
        assert_eq!(fault, Fault::Forbidden(format!("{module}.{name}")));
        // By texts on the stack, as protocol 4 does it.
        let call = Pickle::new().text(module).text(name).raw(b"\x93").text("touch x").raw(b"\x85R").end();
        assert_eq!(open(&archive(call, &[])).unwrap_err(), Fault::Forbidden(format!("{module}.{name}")));
    }
    // INST, OBJ, EXT1, NEWOBJ_EX and persistent ids as text.
    for opcode in [b"i", b"o", b"\x82", b"\x92", b"P"] {
        let fault = open(&archive(Pickle::new().raw(opcode).raw(b"os\nsystem\n").end(), &[])).unwrap_err();
        assert!(matches!(fault, Fault::Forbidden(_)), "{fault}");
    }
}

#[test]
fn what_a_training_run_leaves_is_passed_over() {
    let pickle = Pickle::new()
        .raw(b"}")
        .text("epoch")
        .raw(b"K\x07s")
        .text("loss")
        .raw(b"G\x3f\xf0\0\0\0\0\0\0s")
        .text("meta")
        .class("collections", "defaultdict")
        .class("builtins", "list")
        .raw(b"\x85R(")
        .text("a")
        .raw(b"Nus")
        .text("state_dict")
        .raw(b"}")
        .text("w")
        .class("torch._utils", "_rebuild_parameter")
        .raw(b"(")
        .tensor(Stored::F32, "0", 2, (0, &[2], &[1]))
        .raw(b"\x88}tRss");
    let checkpoint = open(&archive(pickle.end(), &[1.5, 2.5])).unwrap();
    assert_eq!(checkpoint.tensors().len(), 1);
    assert_eq!(checkpoint.get("w").unwrap().values(), [1.5, 2.5]);
}

#[test]
fn pickles_that_break_off_or_contradict_themselves_are_damaged() {
    for program in [
        &b""[..],
        b"}",
        b".",
        b"t.",
        b"u.",
        b"s.",
        b"a.",
        b"R.",
        b"Q.",
        b"h\x05.",
        b"(.",
        b")K\x01a.",
        b"](K\x01u.",
        b"N(K\x01K\x02u.",
        b"}(K\x01u.",
        b"NNR.",
        b"NQ.",
        b"X\xff\xff\xff\xff.",
        b"X\x01\0\0\0\xff.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"ctorch",
        b"\x8a\x11",
        b"K\x01(K\x02\x86.",
    ] {
        let fault = open(&archive([&[0x80, 2], program].concat(), &[]));
        assert!(matches!(fault, Err(Fault::Damaged(_))), "{program:?}: {fault:?}");
    }
}

#[test]
fn nesting_and_repetition_stay_within_bounds() {
    // A million tuples, each in the next.
    let deep = Pickle::new().raw(b")").raw(&vec![0x85; 1_000_000]).end();
    assert!(matches!(open(&archive(deep, &[])), Err(Fault::NotACheckpoint(_))));
    let many = Pickle::new().raw(&vec![b'}'; 1_100_000]).end();
    assert!(matches!(open(&archive(many, &[])), Err(Fault::Unsupported(_))));
    // A dictionary that holds itself.
    let cycle = Pickle::new().raw(b"}q\x00").text("params").raw(b"h\x00s").end();
    assert!(matches!(open(&archive(cycle, &[])), Err(Fault::NotACheckpoint(_))));
    // The pairs of one list made into dictionaries over and over.
    let pairs = (0..2000).fold(Pickle::new().raw(b"]q\x00("), |pickle, _| pickle.raw(b"NN\x86")).raw(b"e");
    let copies = (0..2000).fold(pairs, |pickle, _| pickle.class("collections", "OrderedDict").raw(b"h\x00\x85R0"));
    assert!(matches!(open(&archive(copies.end(), &[])), Err(Fault::Unsupported(_))));
    // The values of one storage in a great many tensors.
    let values = vec![1.0; 1000];
    let tensors = (0..200).fold(Pickle::new().raw(b"}"), |pickle, i| {
        pickle.text(&i.to_string()).tensor(Stored::F32, "0", 1000, (0, &[1000], &[1])).raw(b"s")
    });
    let fault = open(&archive(tensors.end(), &values)).unwrap_err();
    assert!(fault.to_string().contains("larger than the file"), "{fault}");
}

#[test]
fn archives_that_break_off_or_contradict_themselves_are_refused() {
    let whole = pth::to_zip(&[("params", &small())], Stored::F32);
    for length in 0..whole.len() {
        assert!(open(&whole[..length]).is_err(), "{length} bytes of {}", whole.len());
    }
    let legacy = pth::to_legacy(&[("params", &small())], Stored::F32);
    for length in 0..legacy.len() {
        assert!(open(&legacy[..length]).is_err(), "{length} bytes of {}", legacy.len());
    }
    let safetensors = synth::to_safetensors(&small());
    for length in 0..safetensors.len() {
        assert!(open(&safetensors[..length]).is_err(), "{length} bytes of {}", safetensors.len());
    }

    let pickle = Pickle::new().raw(b"}").text("w").tensor(Stored::F32, "0", 4, (0, &[4], &[1])).raw(b"s").end();
    let fault = open(&archive(pickle.clone(), &[1.0; 3])).unwrap_err();
    assert!(fault.to_string().contains("wants 4 values of 4 bytes from a storage of 12 bytes"), "{fault}");
    let fault = open(&pth::zip(&[("x/data.pkl".into(), pickle.clone())])).unwrap_err();
    assert!(fault.to_string().contains("the values of `w` are missing"), "{fault}");
    let big_endian = [
        ("x/data.pkl".into(), pickle.clone()),
        ("x/byteorder".into(), b"big".to_vec()),
        ("x/data/0".into(), vec![0; 16]),
    ];
    assert!(open(&pth::zip(&big_endian)).unwrap_err().to_string().contains("big-endian"));
    let script = [("x/data.pkl".into(), pickle.clone()), ("x/constants.pkl".into(), Vec::new())];
    assert!(open(&pth::zip(&script)).unwrap_err().to_string().contains("TorchScript"));
    let twice = [("x/data.pkl".into(), pickle.clone()), ("x/data.pkl".into(), pickle)];
    assert!(open(&pth::zip(&twice)).unwrap_err().to_string().contains("twice"));
    let other = [("word/document.xml".to_owned(), b"<xml/>".to_vec())];
    assert!(matches!(open(&pth::zip(&other)), Err(Fault::NotACheckpoint(_))));
}

#[test]
fn files_that_are_no_checkpoints_are_told_apart() {
    let says = |bytes: &[u8], what: &str| {
        let fault = open(bytes).unwrap_err();
        assert!(matches!(fault, Fault::NotACheckpoint(_)), "{fault}");
        assert!(fault.to_string().contains(what) && fault.to_string().contains(".safetensors"), "{fault}");
    };
    says(b"", "empty");
    says(b"hello, world\n", "text");
    says(b"\n<!DOCTYPE html><html>", "web page");
    says(b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS");
    says(b"\x80\x04K\x01.", "pickle");
    says(b"\0\0\0\x18ftypmp42\0\0\0\0", "no known kind");
    says(&synth::to_safetensors(&Arrays::new()), "no tensors");
    says(&archive(Pickle::new().raw(b"K\x01").end(), &[]), "no dictionary");
    says(&archive(Pickle::new().raw(b"}").text("epoch").raw(b"K\x01s").end(), &[]), "it holds epoch");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &std::path::Path| Checkpoint::open(path).unwrap_err().to_string();
    assert!(message(folder.path()).contains("it is a folder"));
    let missing = folder.path().join("missing.pth");
    assert!(message(&missing).contains("missing.pth") && message(&missing).contains("check the path"));
    let text = folder.path().join("notes.pth");
    std::fs::write(&text, "not weights").unwrap();
    assert!(message(&text).contains("notes.pth is no checkpoint: it is a text"));
    let whole = folder.path().join("whole.safetensors");
    std::fs::write(&whole, synth::to_safetensors(&small())).unwrap();
    assert_eq!(arrays(&Checkpoint::open(&whole).unwrap()), small());
}

#[test]
fn real_files_are_read_or_refused() {
    let Some(folder) = test_data().map(|folder| folder.join("golden/checkpoints")) else { return };
    let refusal = |name: &str| Checkpoint::open(&folder.join(name)).unwrap_err().to_string();
    let evil = refusal("evil.pth");
    println!("{evil}");
    assert!(evil.contains("`posix.system`") && evil.contains("nothing in it was run"), "{evil}");
    assert!(!std::path::Path::new("EVIL_RAN").exists());
    let truncated = refusal("truncated.pth");
    println!("{truncated}");
    assert!(truncated.contains("is damaged: the end of the archive is missing"), "{truncated}");

    for (name, architecture, variant) in [
        ("realbasicvsr_c32n2_generator_and_ema.pth", "RealBasicVSR", "32 channels, 2 blocks, 2 blocks of cleaning"),
        ("rrdbnet_x4_b2_params_ema_legacy.pth", "RRDBNet", "64 features, 2 blocks"),
    ] {
        let checkpoint = Checkpoint::open(&folder.join(name)).unwrap();
        for (tensor, weight) in checkpoint.tensors() {
            assert_eq!(weight.values(), synth::tensor(tensor, weight.shape()).values, "{name}: {tensor}");
        }
        let descriptor = detect(&checkpoint).unwrap().descriptor().clone();
        assert_eq!((descriptor.architecture, descriptor.variant.as_str()), (architecture, variant));
    }
}

#[test]
fn checkpoints_mix_tensor_by_tensor() {
    let first =
        open(&synth::to_safetensors(&small())).unwrap().with_metadata("licence", "free").with_metadata("n", "1");
    let second = open(&synth::to_safetensors(&prefixed(&small(), "", 1.0))).unwrap();
    let second = second.with_metadata("licence", "free").with_metadata("n", "2");
    assert_eq!(first.mix(&second, 1.0).unwrap().tensors(), first.tensors());
    assert_eq!(first.mix(&second, 0.0).unwrap().tensors(), second.tensors());
    let mixed = first.mix(&second, 0.25).unwrap();
    assert_eq!(mixed.metadata().iter().collect::<Vec<_>>(), [(&"licence".to_owned(), &"free".to_owned())]);
    for (name, weight) in mixed.tensors() {
        let (a, b) = (first.get(name).unwrap(), second.get(name).unwrap());
        for ((m, a), b) in weight.values().iter().zip(a.values()).zip(b.values()) {
            assert_eq!(*m, 0.25 * a + 0.75 * b);
        }
    }

    let wider = open(&synth::to_safetensors(&synth::compact(5, 1, 2))).unwrap();
    let deeper = open(&synth::to_safetensors(&synth::compact(4, 2, 2))).unwrap();
    for (other, weight) in [(&wider, 0.5), (&deeper, 0.5), (&second, 1.5), (&second, -0.1), (&second, f32::NAN)] {
        assert!(matches!(first.mix(other, weight), Err(CheckpointError::Mix { .. })));
    }
    assert!(matches!(deeper.mix(&first, 0.5), Err(CheckpointError::Mix { .. })));
}

#[test]
fn published_checkpoints_are_recognised() {
    let Some(folder) = test_data().map(|folder| folder.join("weights")) else { return };
    let open = |name: &str| Checkpoint::open(&folder.join(name)).unwrap();
    let general = open("realesr-general-x4v3-fp16.safetensors");
    let wdn = open("realesr-general-wdn-x4v3-fp16.safetensors");
    for (checkpoint, name) in [
        (&open("realesr-animevideov3.pth"), "realesr-animevideov3"),
        (&open("realesr-animevideov3-fp32.safetensors"), "realesr-animevideov3"),
        (&general, "realesr-general-x4v3"),
        (&wdn, "realesr-general-wdn-x4v3"),
    ] {
        assert_eq!(known::identify(checkpoint).unwrap().name, name);
        let descriptor = detect(checkpoint).unwrap().descriptor().clone();
        assert!(descriptor.licence.unwrap().contains("BSD-3-Clause"));
        assert_eq!(descriptor.scale, 4);
    }
    let mixed = general.mix(&wdn, 0.5).unwrap();
    let descriptor = detect(&mixed).unwrap().descriptor().clone();
    assert!(known::identify(&mixed).is_none());
    assert!(descriptor.licence.unwrap().contains("BSD-3-Clause"));
    assert_eq!(known::identify(&builtin::checkpoint("lift-x4").unwrap().unwrap()), None);
}

#[test]
fn published_names_count_where_the_network_is_the_one_published() {
    let plusplus = synth::to_safetensors(&synth::basicvsr_plusplus(64, 1, false));
    let small = synth::to_safetensors(&synth::basicvsr_plusplus(16, 1, false));
    let path = "films/basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bd_20210305-ab315ab1.pth";
    let named = |name: &str, file: &[u8]| known::identify(&Checkpoint::from_bytes(name, file).unwrap()).map(|k| k.name);
    assert_eq!(named(path, &plusplus), Some("basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bd"));
    assert_eq!(named(path, &small), None, "another size");
    assert_eq!(named("basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bd/mine.pth", &plusplus), None, "a folder's name");
    let descriptor = detect(&Checkpoint::from_bytes(path, &plusplus).unwrap()).unwrap().descriptor().clone();
    assert!(descriptor.purpose.contains("softened and shrunk") && descriptor.licence.unwrap().contains("Apache-2.0"));

    let anime = synth::to_safetensors(&synth::rrdbnet(64, 2, 6, 4));
    assert_eq!(named("RealESRGAN_x4plus_anime_6B.pth", &anime), Some("RealESRGAN_x4plus_anime_6B"));
    assert_eq!(named("RealESRGAN_x4plus.pth", &anime), None, "6 blocks");
    let large = synth::to_safetensors(&synth::rrdbnet(64, 2, 23, 4));
    assert_eq!(named("RealESRGAN_x4plus.pth", &large), Some("RealESRGAN_x4plus"));

    let basicsr = synth::to_safetensors(&synth::basicvsr(64, 1));
    assert_eq!(named("BasicVSR_REDS4-543c8261.pth", &basicsr), Some("BasicVSR_REDS4"));
    assert_eq!(named("basicvsr_reds4_20120409-0e599677.pth", &basicsr), Some("basicvsr_reds4"));

    let mut names: Vec<&str> = known::KNOWN.iter().map(|known| known.name).collect();
    for (i, name) in names.iter().enumerate() {
        assert!(names[i + 1..].iter().all(|later| !later.contains(name)), "{name} hides a later one");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), known::KNOWN.len());
}

/// The error of a checkpoint of `arrays`.
fn refusal(arrays: &Arrays) -> ModelError {
    detect(&open(&synth::to_safetensors(arrays)).unwrap()).unwrap_err()
}

#[test]
fn tensors_missing_left_over_or_misshapen_are_listed() {
    for (arrays, place) in [
        (small(), "body.2"),
        (synth::lift(4, 2, 2), "body.1.0"),
        (synth::basicvsr(4, 2), "forward_resblocks.main.2.0.conv1"),
        (synth::basicvsr_plusplus(16, 1, false), "backbone.forward_2.main.2.0.conv1"),
        (synth::basicvsr_plusplus(16, 1, true), "spynet.basic_module.3.basic_module.2.conv"),
        (synth::realbasicvsr(4, 1, 1), "image_cleaning.0.main.0"),
        (synth::rrdbnet(4, 2, 2, 2), "body.1.rdb3.conv5"),
    ] {
        let mut missing = arrays.clone();
        missing.remove(&format!("{place}.bias"));
        let message = refusal(&missing).to_string();
        assert!(message.contains(&format!("it lacks 1 tensor (`{place}.bias`)")), "{message}");

        let mut left_over = arrays.clone();
        // A network of nothing but numbered layers is not told by names beside them.
        let stray = if place == "body.2" { "body" } else { "stray" };
        for i in 0..7 {
            left_over.insert(format!("{stray}.9{i}.bias"), synth::tensor("bias", &[4]));
        }
        let message = refusal(&left_over).to_string();
        let due = format!("it has 7 tensors too many (`{stray}.90.bias`");
        assert!(message.contains(&due) && message.contains("…"), "{message}");

        let mut misshapen = arrays.clone();
        let due = arrays[&format!("{place}.bias")].shape.clone();
        misshapen.insert(format!("{place}.bias"), synth::tensor("bias", &[5]));
        let message = refusal(&misshapen).to_string();
        assert!(message.contains(&format!("`{place}.bias` has shape [5] and not {due:?}")), "{message}");

        let mut broken = arrays;
        broken.get_mut(&format!("{place}.bias")).unwrap().values[1] = f32::NAN;
        assert!(matches!(refusal(&broken), ModelError::NonFinite { .. }));
    }
}

#[test]
fn checkpoints_of_other_networks_are_named() {
    let one = |name: &str| Arrays::from([(name.to_owned(), synth::tensor(name, &[4, 4, 3, 3]))]);
    for (name, architecture) in [
        ("edvr.conv_first.weight", "IconVSR, whose key frames need EDVR"),
        ("basic_module.0.basic_module.0.conv.weight", "SPyNet, a part of other networks"),
    ] {
        let message = refusal(&one(name)).to_string();
        assert!(message.contains(&format!("is a checkpoint of {architecture}; framelift 0.")), "{message}");
        assert!(message.contains("runs lift, BasicVSR, BasicVSR++, RealBasicVSR, RRDBNet"), "{message}");
    }
    for (name, architecture) in [
        ("image_cleaning.0.main.0.weight", "RealBasicVSR"),
        ("deform_align.backward_1.weight", "BasicVSR++"),
        ("backward_resblocks.main.0.weight", "BasicVSR"),
        ("backward_trunk.main.0.weight", "BasicVSR"),
        ("body.0.rdb1.conv1.weight", "RRDBNet"),
        ("model.1.sub.0.RDB1.conv1.0.weight", "RRDBNet"),
    ] {
        let error = refusal(&one(name));
        let found = match &error {
            ModelError::Mismatch { architecture, .. } | ModelError::Variant { architecture, .. } => *architecture,
            _ => "another error",
        };
        assert_eq!(found, architecture, "{error}");
    }
    let message = refusal(&one("encoder.weight")).to_string();
    assert!(message.contains("no network known here (it has `encoder.weight`)"), "{message}");
}

#[test]
fn variants_that_cannot_be_told_are_refused() {
    let mut unsloped = small();
    unsloped.retain(|_, array| array.shape.len() != 1 || array.values.len() != 4 || array.values[0].abs() < 0.1);
    assert!(!unsloped.contains_key("body.1.weight"));
    let file = synth::to_safetensors(&unsloped);
    assert!(matches!(refusal(&unsloped), ModelError::Variant { .. }));
    for act_type in ["relu", "leakyrelu"] {
        let checkpoint = open(&file).unwrap().with_metadata("act_type", act_type);
        assert_eq!(detect(&checkpoint).unwrap().descriptor().variant, "4 features, 1 convolution");
    }

    let mut grey = small();
    grey.insert("body.0.weight".into(), synth::tensor("body.0.weight", &[4, 1, 3, 3]));
    assert!(matches!(refusal(&grey), ModelError::Variant { .. }));
    let mut odd = small();
    odd.insert("body.4.weight".into(), synth::tensor("body.4.weight", &[10, 4, 3, 3]));
    assert!(matches!(refusal(&odd), ModelError::Variant { .. }));
}
