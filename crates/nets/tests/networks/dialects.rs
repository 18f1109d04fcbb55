//! Networks under the names of other implementations.

use std::collections::BTreeMap;

use framelift_engine::Precision;
use framelift_testkit::golden::Array;
use framelift_testkit::synth;

use crate::{checkpoint, fastest_engine, network, noise, run};

type Arrays = BTreeMap<String, Array>;

/// The names of BasicSR for a network of the BasicVSR family.
fn basicsr(name: &str) -> String {
    let name = name.replace("_resblocks.", "_trunk.");
    let name = name.replace("upsample1.upsample_conv", "upconv1").replace("upsample2.upsample_conv", "upconv2");
    match name.split('.').collect::<Vec<_>>().as_slice() {
        ["spynet", a, level, b, place, "conv", kind] => {
            let place = 2 * place.parse::<usize>().unwrap();
            format!("spynet.{a}.{level}.{b}.{place}.{kind}")
        }
        _ => name,
    }
}

/// Both sets of tensors are one network, to the bit.
fn check(arrays: &Arrays, others: &Arrays, side: usize) {
    assert!(arrays.keys().ne(others.keys()));
    let (_, engine) = fastest_engine();
    let input = noise(3, side, side);
    let outputs = [arrays, others].map(|arrays| {
        let network = network(&checkpoint("synthetic", arrays), &engine, Precision::F32);
        let said = network.descriptor();
        ((said.architecture, said.variant.clone(), said.parameters), run(&network, &engine, &input))
    });
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0].1.len(), 3);
}

#[test]
fn basicsr_names_of_basicvsr() {
    let arrays = synth::basicvsr(8, 1);
    let renamed = synth::renamed(&arrays, basicsr);
    for name in ["backward_trunk.main.2.0.conv1.weight", "upconv2.bias", "spynet.basic_module.5.basic_module.8.weight"]
    {
        assert!(renamed.contains_key(name), "{name}");
    }
    check(&arrays, &renamed, 24);
}

#[test]
fn basicsr_names_of_basicvsr_plusplus() {
    let arrays = synth::basicvsr_plusplus(8, 1, false);
    check(&arrays, &synth::renamed(&arrays, basicsr), 24);
}

#[test]
fn counters_of_training_are_passed_over() {
    let arrays = synth::basicvsr(8, 1);
    let mut counted = arrays.clone();
    counted.insert("step_counter".into(), Array { shape: vec![1], values: vec![300_000.0] });
    check(&arrays, &counted, 24);
}

#[test]
fn names_of_esrgan() {
    let arrays = synth::rrdbnet(8, 4, 3, 4);
    let trunk = synth::renamed(&arrays, |name| match name.strip_prefix("body.") {
        Some(rest) => format!("RRDB_trunk.{}", rest.replace("rdb", "RDB")),
        None => name.replace("conv_body", "trunk_conv").replace("conv_up", "upconv").replace("conv_hr", "HRconv"),
    });
    assert!(trunk.contains_key("RRDB_trunk.2.RDB3.conv5.weight") && trunk.contains_key("trunk_conv.bias"));
    check(&arrays, &trunk, 12);

    let sequential = synth::renamed(&arrays, |name| match name.split('.').collect::<Vec<_>>().as_slice() {
        ["body", block, dense, conv, kind] => format!("model.1.sub.{block}.{}.{conv}.0.{kind}", dense.to_uppercase()),
        [layer, kind] => {
            let place = match *layer {
                "conv_first" => "0",
                "conv_body" => "1.sub.3",
                "conv_up1" => "3",
                "conv_up2" => "6",
                "conv_hr" => "8",
                _ => "10",
            };
            format!("model.{place}.{kind}")
        }
        _ => name.to_owned(),
    });
    assert!(sequential.contains_key("model.1.sub.2.RDB3.conv5.0.weight") && sequential.contains_key("model.10.bias"));
    check(&arrays, &sequential, 12);
}
