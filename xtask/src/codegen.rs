//! Writes the code that is made from `proto/haulier/v1`: messages, clients and servers, and the
//! descriptors that reflection serves. What it writes is checked in, so that nobody needs a
//! protobuf compiler to build Haulier; with `--check` it only compares.

use std::fs;
use std::path::{Path, PathBuf};

use protox::Compiler;

const FILES: [&str; 6] = ["task", "lease", "queue", "work", "inspect", "control"];
/// Texts that repeat from task to task: read as slices of the frame that brought them, like
/// payloads. On the wire, and for everybody else's compiler, they are what the files say.
const SLICES: [&str; 3] = ["queue", "kind", "content_type"];
/// `google.protobuf.FieldDescriptorProto.Type.TYPE_BYTES`.
const TYPE_BYTES: i32 = 12;
const HEADER: &str = "// Made by `cargo xtask codegen` from proto/haulier/v1; do not edit.\n\n";

/// Makes the code; compares it with what is checked in (`check`) or writes it.
///
/// # Errors
/// What is wrong with the definitions, or which file differs and how to make it anew.
pub fn run(check: bool) -> Result<(), String> {
    let wire = crate::root().join("crates/haulier-wire");
    for (path, made) in make(&wire)? {
        let path = wire.join("src/gen").join(path);
        let same = fs::read(&path).is_ok_and(|found| found == made);
        match (same, check) {
            (true, _) => {}
            (false, true) => {
                return Err(format!(
                    "{} is not what its definitions make; run `cargo xtask codegen`",
                    path.display()
                ));
            }
            (false, false) => fs::write(&path, made)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?,
        }
    }
    Ok(())
}

/// Every generated file with its contents.
fn make(wire: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, String> {
    let mut compiler = Compiler::new([wire.join("proto")]).map_err(|error| error.to_string())?;
    compiler.include_source_info(true).include_imports(true);
    for file in FILES {
        let path = PathBuf::from(format!("haulier/v1/{file}.proto"));
        compiler.open_file(path).map_err(|error| error.to_string())?;
    }
    let scratch = Scratch::new()?;
    let mut config = tonic_prost_build::Config::new();
    // Handlers borrow payloads from the frame that brought them.
    config.bytes(["."]);
    let mut files = compiler.file_descriptor_set();
    let messages = files.file.iter_mut().flat_map(|file| &mut file.message_type);
    let tasks = messages.filter(|message| message.name() == "Task");
    for field in tasks.flat_map(|task| &mut task.field) {
        if SLICES.contains(&field.name()) {
            field.r#type = Some(TYPE_BYTES);
        }
    }
    tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::codec::Codec")
        .emit_rerun_if_changed(false)
        .out_dir(&scratch.0)
        .compile_fds_with_config(files, config)
        .map_err(|error| error.to_string())?;
    let code = fs::read_to_string(scratch.0.join("haulier.v1.rs"))
        .map_err(|error| format!("no code was made: {error}"))?;
    // Reflection needs shapes, not comments.
    compiler.include_source_info(false);
    let descriptors = compiler.encode_file_descriptor_set();
    Ok(vec![
        ("haulier.v1.rs", format!("{HEADER}{code}").into_bytes()),
        ("haulier.v1.bin", descriptors),
    ])
}

/// A directory that is gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("haulier-codegen-{}", std::process::id()));
        fs::create_dir_all(&path)
            .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover in the temporary directory harms nobody.
        drop(fs::remove_dir_all(&self.0));
    }
}
