# Every networking resource of the provider that this cloud has the thing for. `stage` 2 changes what each of them lets one change.

terraform {
  required_providers {
    openstack = { source = "terraform-provider-openstack/openstack" }
  }
}

provider "openstack" {}

variable "public" {
  description = "id of an external network"
}
variable "project" {
  description = "id of the project that all of this belongs to"
}
variable "other_project" {
  description = "id of a project that things are shared with"
}
variable "stage" {
  type    = number
  default = 1
}

locals {
  second = var.stage == 2
  words  = local.second ? "changed" : "first"
}

resource "openstack_networking_network_v2" "net" {
  name           = "tofu-${local.words}"
  description    = local.words
  admin_state_up = true
  dns_domain     = "tofu.example."
  mtu            = local.second ? 1300 : 1400
  tags           = [local.words]
}

resource "openstack_networking_network_v2" "lan" {
  name = "tofu-lan"
  mtu  = 1300
}

resource "openstack_networking_addressscope_v2" "scope" {
  name       = "tofu-${local.words}"
  ip_version = 4
}

resource "openstack_networking_subnetpool_v2" "pool" {
  name              = "tofu-${local.words}"
  prefixes          = local.second ? ["10.40.0.0/16", "10.44.0.0/16"] : ["10.40.0.0/16"]
  min_prefixlen     = 24
  default_prefixlen = 24
  address_scope_id  = openstack_networking_addressscope_v2.scope.id
  tags              = [local.words]
}

resource "openstack_networking_subnet_v2" "v4" {
  network_id      = openstack_networking_network_v2.net.id
  name            = "tofu-${local.words}"
  cidr            = "10.30.0.0/24"
  ip_version      = 4
  dns_nameservers = local.second ? ["9.9.9.9", "149.112.112.112"] : ["9.9.9.9"]
  tags            = [local.words]
  allocation_pool {
    start = "10.30.0.10"
    end   = local.second ? "10.30.0.120" : "10.30.0.100"
  }
}

resource "openstack_networking_subnet_v2" "v6" {
  network_id        = openstack_networking_network_v2.net.id
  name              = "tofu6-${local.words}"
  cidr              = "fd00:30::/64"
  ip_version        = 6
  ipv6_ra_mode      = "slaac"
  ipv6_address_mode = "slaac"
}

resource "openstack_networking_subnet_v2" "pooled" {
  network_id    = openstack_networking_network_v2.lan.id
  name          = "tofu-pooled-${local.words}"
  subnetpool_id = openstack_networking_subnetpool_v2.pool.id
}

resource "openstack_networking_subnet_route_v2" "route" {
  subnet_id        = openstack_networking_subnet_v2.v4.id
  destination_cidr = "192.168.77.0/24"
  next_hop         = "10.30.0.9"
}

resource "openstack_networking_address_group_v2" "offices" {
  name      = "tofu-${local.words}"
  addresses = local.second ? ["192.0.2.0/24", "198.51.100.7/32"] : ["192.0.2.0/24"]
}

resource "openstack_networking_secgroup_v2" "web" {
  name        = "tofu-${local.words}"
  description = local.words
  tags        = [local.words]
}

resource "openstack_networking_secgroup_v2" "plain" {
  name                 = "tofu-plain-${local.words}"
  stateful             = false
  delete_default_rules = true
}

resource "openstack_networking_secgroup_rule_v2" "http" {
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = 80
  port_range_max    = 443
  remote_ip_prefix  = "0.0.0.0/0"
  security_group_id = openstack_networking_secgroup_v2.web.id
}

resource "openstack_networking_secgroup_rule_v2" "peers" {
  direction         = "ingress"
  ethertype         = "IPv6"
  protocol          = "ipv6-icmp"
  remote_group_id   = openstack_networking_secgroup_v2.web.id
  security_group_id = openstack_networking_secgroup_v2.web.id
}

resource "openstack_networking_secgroup_rule_v2" "offices" {
  direction               = "ingress"
  ethertype               = "IPv4"
  protocol                = "udp"
  port_range_min          = 53
  port_range_max          = 53
  remote_address_group_id = openstack_networking_address_group_v2.offices.id
  security_group_id       = openstack_networking_secgroup_v2.web.id
}

resource "openstack_networking_qos_policy_v2" "gold" {
  name        = "tofu-${local.words}"
  description = local.words
  tags        = [local.words]
}

resource "openstack_networking_qos_bandwidth_limit_rule_v2" "limit" {
  qos_policy_id  = openstack_networking_qos_policy_v2.gold.id
  max_kbps       = local.second ? 4000 : 3000
  max_burst_kbps = 300
  direction      = "egress"
}

resource "openstack_networking_qos_dscp_marking_rule_v2" "mark" {
  qos_policy_id = openstack_networking_qos_policy_v2.gold.id
  dscp_mark     = local.second ? 10 : 26
}

resource "openstack_networking_port_v2" "web" {
  network_id         = openstack_networking_network_v2.net.id
  name               = "tofu-${local.words}"
  description        = local.words
  dns_name           = "web"
  security_group_ids = [openstack_networking_secgroup_v2.web.id]
  qos_policy_id      = local.second ? openstack_networking_qos_policy_v2.gold.id : ""
  tags               = [local.words]
  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.v4.id
    ip_address = "10.30.0.20"
  }
  allowed_address_pairs {
    ip_address = local.second ? "10.30.0.201" : "10.30.0.200"
  }
  extra_dhcp_option {
    name  = "mtu"
    value = local.second ? "1200" : "1250"
  }
}

resource "openstack_networking_port_v2" "bare" {
  network_id            = openstack_networking_network_v2.net.id
  name                  = "tofu-bare-${local.words}"
  no_security_groups    = true
  port_security_enabled = false
  fixed_ip {
    subnet_id = openstack_networking_subnet_v2.v4.id
  }
}

resource "openstack_networking_port_v2" "member" {
  network_id = openstack_networking_network_v2.net.id
  name       = "tofu-member"
  fixed_ip {
    subnet_id = openstack_networking_subnet_v2.v4.id
  }
  lifecycle {
    ignore_changes = [security_group_ids]
  }
}

resource "openstack_networking_port_secgroup_associate_v2" "member" {
  port_id            = openstack_networking_port_v2.member.id
  enforce            = true
  security_group_ids = local.second ? [openstack_networking_secgroup_v2.web.id] : [openstack_networking_secgroup_v2.plain.id]
}

resource "openstack_networking_port_v2" "trunk" {
  network_id = openstack_networking_network_v2.net.id
  name       = "tofu-trunk"
  fixed_ip {
    subnet_id = openstack_networking_subnet_v2.v4.id
  }
}

resource "openstack_networking_port_v2" "vlan" {
  network_id = openstack_networking_network_v2.lan.id
  name       = "tofu-vlan"
  fixed_ip {
    subnet_id = openstack_networking_subnet_v2.pooled.id
  }
}

resource "openstack_networking_trunk_v2" "trunk" {
  name           = "tofu-${local.words}"
  description    = local.words
  admin_state_up = true
  port_id        = openstack_networking_port_v2.trunk.id
  tags           = [local.words]
  sub_port {
    port_id           = openstack_networking_port_v2.vlan.id
    segmentation_id   = local.second ? 101 : 100
    segmentation_type = "vlan"
  }
}

resource "openstack_networking_router_v2" "router" {
  name                = "tofu-${local.words}"
  description         = local.words
  external_network_id = var.public
  tags                = [local.words]
}

resource "openstack_networking_router_v2" "inner" {
  name = "tofu-inner-${local.words}"
}

resource "openstack_networking_router_interface_v2" "v4" {
  router_id = openstack_networking_router_v2.router.id
  subnet_id = openstack_networking_subnet_v2.v4.id
}

resource "openstack_networking_router_interface_v2" "lan" {
  router_id = openstack_networking_router_v2.inner.id
  subnet_id = openstack_networking_subnet_v2.pooled.id
}

resource "openstack_networking_router_route_v2" "route" {
  router_id        = openstack_networking_router_v2.router.id
  destination_cidr = "10.99.0.0/24"
  next_hop         = "10.30.0.9"
  depends_on       = [openstack_networking_router_interface_v2.v4]
}

resource "openstack_networking_router_routes_v2" "routes" {
  router_id = openstack_networking_router_v2.inner.id
  routes {
    destination_cidr = "10.98.0.0/24"
    next_hop         = cidrhost(openstack_networking_subnet_v2.pooled.cidr, local.second ? 8 : 9)
  }
  depends_on = [openstack_networking_router_interface_v2.lan]
}

data "openstack_networking_network_v2" "public" {
  network_id = var.public
}

resource "openstack_networking_floatingip_v2" "web" {
  pool        = data.openstack_networking_network_v2.public.name
  description = local.words
  port_id     = openstack_networking_port_v2.web.id
  tags        = [local.words]
  depends_on  = [openstack_networking_router_interface_v2.v4]
}

resource "openstack_networking_floatingip_v2" "moved" {
  pool        = data.openstack_networking_network_v2.public.name
  description = local.words
  lifecycle {
    ignore_changes = [port_id]
  }
}

resource "openstack_networking_floatingip_associate_v2" "moved" {
  floating_ip = openstack_networking_floatingip_v2.moved.address
  port_id     = local.second ? openstack_networking_port_v2.bare.id : openstack_networking_port_v2.member.id
  depends_on  = [openstack_networking_router_interface_v2.v4]
}

resource "openstack_networking_floatingip_v2" "shared" {
  pool = data.openstack_networking_network_v2.public.name
}

resource "openstack_networking_portforwarding_v2" "ssh" {
  floatingip_id       = openstack_networking_floatingip_v2.shared.id
  external_port       = 2222
  internal_port       = local.second ? 2022 : 22
  internal_port_id    = openstack_networking_port_v2.trunk.id
  internal_ip_address = openstack_networking_port_v2.trunk.all_fixed_ips[0]
  protocol            = "tcp"
  description         = local.words
  depends_on          = [openstack_networking_router_interface_v2.v4]
}

resource "openstack_networking_rbac_policy_v2" "shared" {
  action        = "access_as_shared"
  object_id     = openstack_networking_network_v2.lan.id
  object_type   = "network"
  target_tenant = local.second ? var.project : var.other_project
}

resource "openstack_networking_quota_v2" "quota" {
  project_id          = var.other_project
  floatingip          = local.second ? 7 : 6
  network             = 11
  port                = 12
  rbac_policy         = 13
  router              = 14
  security_group      = 15
  security_group_rule = 16
  subnet              = 17
  subnetpool          = 18
}

resource "openstack_networking_bgp_peer_v2" "edge" {
  name      = "tofu-${local.words}"
  peer_ip   = "198.51.100.1"
  remote_as = 65001
}

resource "openstack_networking_bgp_speaker_v2" "speaker" {
  name       = "tofu-${local.words}"
  ip_version = 4
  local_as   = 65010
  networks   = [var.public]
  peers      = local.second ? [openstack_networking_bgp_peer_v2.edge.id] : [] # taking one away fails in the provider itself, after it has worked
}

resource "openstack_networking_segment_v2" "segment" {
  name         = "tofu-${local.words}"
  description  = local.words
  network_id   = openstack_networking_network_v2.lan.id
  network_type = "geneve"
}
