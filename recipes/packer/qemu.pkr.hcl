# After a qemu build: the disk is prepared, sealed, checked, booted in the local Azure, and becomes a VHD.
build {
  sources = ["source.qemu.debian"]

  post-processor "shell-local" {
    inline = ["azready build output-debian/packer-debian -o debian.vhd --user packer --yes"]
  }
}
