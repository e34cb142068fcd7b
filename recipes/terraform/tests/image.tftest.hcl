# terraform test -var disk=image.vhd
run "the_image_provisions" {
  command = apply

  assert {
    condition     = output.proven == filesha256(var.disk)
    error_message = "another disk was booted than the one to publish"
  }
}
