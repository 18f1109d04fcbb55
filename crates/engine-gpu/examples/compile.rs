//! What a driver's compiler makes of kernels: `cargo run -p framelift-engine-gpu --example compile -- FILE.spv...`.
//!
//! Each file is a kernel in SPIR-V, as CubeCL writes it with the feature `spirv-dump`. The driver need not have a card: Mesa's
//! for AMD compiles for one that it is told of (CONTRIBUTING.md).

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    unsafe_code,
    reason = "a program to look at kernels with, which calls Vulkan"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::time::Instant;

use ash::{khr, vk};

/// Of what drivers say, what there is to look at.
const TOLD: [&str; 6] = ["VGPRs", "Spilled VGPRs", "LDS size", "Scratch size", "Code size", "Subgroups per SIMD"];

/// What a compiler must know of a kernel beside its code.
#[derive(Default)]
struct Interface {
    entry: CString,
    /// By their bindings.
    buffers: BTreeMap<u32, vk::DescriptorType>,
}

impl Interface {
    /// Reads it off the words of a module (SPIR-V 1.6, sections 2.3 and 3.42).
    fn of(words: &[u32]) -> Self {
        const ENTRY_POINT: u32 = 15;
        const VARIABLE: u32 = 59;
        const DECORATE: u32 = 71;
        const BINDING: u32 = 33;
        const UNIFORM: u32 = 2;
        const STORAGE_BUFFER: u32 = 12;
        let (mut interface, mut bindings) = (Self::default(), BTreeMap::new());
        let mut rest = &words[5..];
        while let Some(first) = rest.first() {
            let (instruction, after) = rest.split_at((first >> 16) as usize);
            match (first & 0xffff, instruction) {
                (ENTRY_POINT, [_, _, _, name @ ..]) => {
                    let bytes = name.iter().flat_map(|word| word.to_le_bytes()).take_while(|byte| *byte != 0);
                    interface.entry = CString::new(bytes.collect::<Vec<u8>>()).unwrap();
                }
                (DECORATE, [_, variable, BINDING, binding]) => drop(bindings.insert(*variable, *binding)),
                (VARIABLE, [_, _, variable, class @ (UNIFORM | STORAGE_BUFFER), ..]) => {
                    if let Some(&binding) = bindings.get(variable) {
                        let is_uniform = *class == UNIFORM;
                        let kind = [vk::DescriptorType::STORAGE_BUFFER, vk::DescriptorType::UNIFORM_BUFFER];
                        interface.buffers.insert(binding, kind[usize::from(is_uniform)]);
                    }
                }
                _ => {}
            }
            rest = after;
        }
        interface
    }
}

fn main() {
    // SAFETY: each call is given what Vulkan's specification asks for, in structures that live until it returns; the
    // process ends with what it made.
    unsafe {
        let entry = ash::Entry::load().unwrap();
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let instance = vk::InstanceCreateInfo::default().application_info(&application);
        let instance = entry.create_instance(&instance, None).unwrap();
        let card = instance.enumerate_physical_devices().unwrap()[0];
        let properties = instance.get_physical_device_properties(card);
        println!("{}", properties.device_name_as_c_str().unwrap().to_string_lossy());

        // All features that there are.
        let mut matrices = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default();
        let mut executables = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default();
        let mut of_1_1 = vk::PhysicalDeviceVulkan11Features::default();
        let mut of_1_2 = vk::PhysicalDeviceVulkan12Features::default();
        let mut of_1_3 = vk::PhysicalDeviceVulkan13Features::default();
        let mut features = vk::PhysicalDeviceFeatures2::default()
            .push_next(&mut matrices)
            .push_next(&mut executables)
            .push_next(&mut of_1_1)
            .push_next(&mut of_1_2)
            .push_next(&mut of_1_3);
        instance.get_physical_device_features2(card, &mut features);
        let there = instance.enumerate_device_extension_properties(card).unwrap();
        let has = |name: &&CStr| there.iter().any(|extension| extension.extension_name_as_c_str() == Ok(*name));
        let wanted = [khr::cooperative_matrix::NAME, khr::pipeline_executable_properties::NAME];
        let tells = has(&khr::pipeline_executable_properties::NAME);
        let extensions: Vec<_> = wanted.into_iter().filter(has).map(CStr::as_ptr).collect();
        let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let device = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions)
            .push_next(&mut features);
        let device = instance.create_device(card, &device, None).unwrap();
        let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);

        for file in std::env::args().skip(1) {
            let bytes = std::fs::read(&file).unwrap();
            let words: Vec<u32> = bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
            let interface = Interface::of(&words);
            let buffers = interface.buffers.iter().map(|(&binding, &kind)| {
                let buffer = vk::DescriptorSetLayoutBinding::default().binding(binding).descriptor_type(kind);
                buffer.descriptor_count(1).stage_flags(vk::ShaderStageFlags::COMPUTE)
            });
            let buffers: Vec<_> = buffers.collect();
            let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&buffers);
            let sets = [device.create_descriptor_set_layout(&set, None).unwrap()];
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = device.create_pipeline_layout(&layout, None).unwrap();
            let module = vk::ShaderModuleCreateInfo::default().code(&words);
            let module = device.create_shader_module(&module, None).unwrap();
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&interface.entry);
            let flags = if tells { vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR } else { Default::default() };
            let pipeline = vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(flags);
            let begun = Instant::now();
            let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[pipeline], None);
            let took = begun.elapsed().as_millis();
            let name = file.rsplit('/').next().unwrap_or(&file);
            match made {
                Err((_, error)) => println!("{name}: {error}"),
                Ok(_) if !tells => println!("{name}: {took} ms"),
                Ok(pipelines) => {
                    let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipelines[0]);
                    let told = executables.get_pipeline_executable_statistics(&info).unwrap_or_default();
                    let told = told.iter().filter_map(|fact| {
                        let name = fact.name_as_c_str().ok()?.to_str().ok()?;
                        TOLD.contains(&name).then(|| format!(", {name} {}", fact.value.u64))
                    });
                    println!("{name}: {took} ms{}", told.collect::<String>());
                }
            }
        }
    }
}
