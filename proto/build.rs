//! Compiles the protocol with protox, so that building needs no system protoc.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "frontdoor/v1/control.proto";
    println!("cargo:rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["."])?;
    tonic_prost_build::configure().bytes(".frontdoor.v1.Frame.chunk").compile_fds(descriptors)?;
    Ok(())
}
