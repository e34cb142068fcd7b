# The last provisioner of an azure-arm build, in place of `waagent -deprovision`: put it into your build block. azready
# runs here, over ssh with Packer's own key, so that nothing of it stays in the image. Packer takes the host key as it
# comes, and so does this. The ssh session survives; afterwards nobody can log in any more.
build {
  sources = ["source.azure-arm.debian"]

  provisioner "shell-local" {
    inline = [
      "eval \"$(ssh-agent -s)\" >/dev/null",
      "trap 'ssh-agent -k >/dev/null' EXIT",
      "echo '${build.SSHPrivateKey}' | ssh-add -q -",
      "mkdir -p -m 700 ~/.ssh",
      "ssh-keyscan -p ${build.Port} ${build.Host} >>~/.ssh/known_hosts 2>/dev/null",
      "azready prepare    ssh://${build.User}@${build.Host}:${build.Port} --yes",
      "azready generalize ssh://${build.User}@${build.Host}:${build.Port} --yes --user ${build.User}",
    ]
  }
}
