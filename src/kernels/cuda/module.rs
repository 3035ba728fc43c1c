//! The kernels as the driver takes them: machine code of the GPU where there is some, else PTX.

use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::io::Read;

use cudarc::driver::{CudaDevice, DriverError, result, sys};

/// The kernels, from `device/all.cu` by `scripts/ptx.sh`.
const PTX: &str = include_str!("kernels.ptx");

/// Machine code of them by compute capability, from the PTX by the same script.
const MACHINE: [((i32, i32), &[u8]); 4] = [
    ((8, 0), include_bytes!("machine/sm_80.cubin.gz")),
    ((9, 0), include_bytes!("machine/sm_90.cubin.gz")),
    ((10, 0), include_bytes!("machine/sm_100.cubin.gz")),
    ((12, 0), include_bytes!("machine/sm_120.cubin.gz")),
];

/// Loads the kernels for a device and looks up each. The module stays loaded.
///
/// Machine code saves the ten seconds that a driver takes to compile the PTX when the program first starts on a machine.
/// A driver older than the compiler may refuse it, and compiles the PTX then.
pub fn load(driver: &CudaDevice) -> Result<BTreeMap<String, sys::CUfunction>, DriverError> {
    let image = |bytes: &[u8]| {
        // SAFETY: an image that says where it ends, as an ELF file does by its headers and PTX by a zero byte.
        unsafe { result::module::load_data(bytes.as_ptr().cast::<c_void>()) }
    };
    let machine = machine_code(capability(driver)?).and_then(|code| image(&code).ok());
    let module = match machine {
        Some(module) => module,
        None => image(CString::new(PTX).expect("PTX holds no zero byte").as_bytes_with_nul())?,
    };
    let find = |name: &str| {
        let c_name = CString::new(name).expect("a name holds no zero byte");
        // SAFETY: the module was loaded above.
        let function = unsafe { result::module::get_function(module, c_name) }?;
        Ok((name.to_string(), function))
    };
    kernel_names(PTX).map(find).collect()
}

fn capability(driver: &CudaDevice) -> Result<(i32, i32), DriverError> {
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    Ok((driver.attribute(MAJOR)?, driver.attribute(MINOR)?))
}

/// What a GPU of this capability runs: code of the same major number and at most the same minor one.
fn machine_code((major, minor): (i32, i32)) -> Option<Vec<u8>> {
    let runs = |of: (i32, i32)| of.0 == major && of.1 <= minor;
    let (_, packed) = MACHINE.iter().rfind(|(of, _)| runs(*of))?;
    let mut code = Vec::new();
    flate2::read::GzDecoder::new(*packed).read_to_end(&mut code).ok()?;
    Some(code)
}

/// The entry points of PTX.
fn kernel_names(ptx: &str) -> impl Iterator<Item = &str> {
    ptx.split(".entry ").skip(1).filter_map(|after| after.split('(').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_are_those_of_the_sources_beside_them() {
        let sources = [
            include_str!("device/all.cu"),
            include_str!("device/attention.cu"),
            include_str!("device/common.cuh"),
            include_str!("device/compose.cu"),
            include_str!("device/explained_variance.cu"),
            include_str!("device/gelu.cu"),
            include_str!("device/images.cu"),
            include_str!("device/loss.cu"),
            include_str!("device/mma.cuh"),
            include_str!("device/muon.cu"),
            include_str!("device/norm.cu"),
            include_str!("device/read.cu"),
            include_str!("device/rows.cu"),
            include_str!("device/sums.cu"),
            include_str!("device/update.cu"),
            include_str!("device/update.cuh"),
        ];
        let mut hash = <sha2::Sha256 as sha2::Digest>::new();
        sources.iter().for_each(|s| sha2::Digest::update(&mut hash, s.as_bytes()));
        let hash: String = sha2::Digest::finalize(hash).iter().map(|b| format!("{b:02x}")).collect();
        let first = PTX.lines().next().unwrap();
        let advice = "run scripts/ptx.sh after changing a kernel";
        assert_eq!(first, format!("// sha256 of device/: {hash}"), "{advice}");
        assert_eq!(include_str!("machine/sources").trim_end(), hash, "{advice}");
        assert!(kernel_names(PTX).count() > 20);
    }

    #[test]
    fn every_gpu_gets_code_that_it_runs_and_all_kernels_are_in_it() {
        let same = |a: (i32, i32), b: (i32, i32)| machine_code(a) == machine_code(b);
        assert!(
            same((8, 6), (8, 0)) && same((8, 9), (8, 0)) && same((9, 0), (9, 0)) && same((12, 1), (12, 0))
        );
        assert!(!same((8, 0), (9, 0)) && !same((10, 0), (12, 0)));
        assert!(machine_code((7, 5)).is_none() && machine_code((11, 0)).is_none());
        for (capability, _) in MACHINE {
            let code = machine_code(capability).unwrap();
            assert_eq!(&code[..4], b"\x7fELF");
            for name in kernel_names(PTX) {
                let section = format!(".text.{name}\0");
                let found = code.windows(section.len()).any(|w| w == section.as_bytes());
                assert!(found, "{capability:?} lacks {name}");
            }
        }
    }
}
