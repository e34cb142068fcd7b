# After a qemu build: the disk is prepared, sealed, checked, booted in the local Azure, and becomes a VHD. Put the
# post-processor into your build block; `packer` is the account that the build logged in with (ssh_username).
build {
  sources = ["source.qemu.debian"]

  post-processor "shell-local" {
    inline = ["azready build output-debian/packer-debian debian.vhd --user packer --yes"]
  }
}
