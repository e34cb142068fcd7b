# The last provisioner of an azure-arm build, in place of `waagent -deprovision`. azready runs here, over ssh, so that
# nothing of it stays in the image. The ssh session of Packer survives; afterwards nobody can log in any more.
build {
  sources = ["source.azure-arm.debian"]

  provisioner "shell-local" {
    environment_vars = ["HOST=${build.Host}", "PORT=${build.Port}", "ACCOUNT=${build.User}"]
    inline = [
      "azready prepare    ssh://$ACCOUNT@$HOST:$PORT --yes",
      "azready generalize ssh://$ACCOUNT@$HOST:$PORT --yes --user $ACCOUNT",
    ]
  }
}
