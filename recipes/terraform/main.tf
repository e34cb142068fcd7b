# A disk that azready has booted may become an image; another one stops the plan. Terraform 1.4 or newer, or OpenTofu.
variable "disk" {
  type        = string
  description = "The VHD to publish"
}

resource "terraform_data" "provisions" {
  triggers_replace = filesha256(var.disk)

  provisioner "local-exec" {
    command = "azready boot \"$DISK\" --boots 1 --output junit=boot.xml"
    environment = {
      DISK = var.disk
    }
  }
}

output "proven" {
  value = terraform_data.provisions.triggers_replace
}
