//! dump
#[test]
fn dump() {
    println!("{}", serde_json::to_string_pretty(&vmimage::manifest::schema()).unwrap());
    let d = vmimage::manifest::parse(&std::fs::read_to_string("examples/hello.yaml").unwrap(), &[]);
    println!("{d:#?}");
    println!("{:?}", vmimage::manifest::check(&d.unwrap()[0].image));
}
