import { existsSync, statSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Config } from '../config.js'
import type { ReleaseWish } from './download.js'
import { findOnPath } from './findOnPath.js'
import { loadProfiles, type Profiles } from './profile.js'

const chartName = 'prometheus.tgz'
/** It goes into an object of Kubernetes as base64, and with that into the annotation of `kubectl apply`, which may have 256 KiB. */
const mostChartBytes = 180_000
const profilesDir = fileURLToPath(new URL('../../../profiles', import.meta.url))

type ProfileConfig = Pick<
  Config,
  | 'CLUSTER_PROFILE'
  | 'K3S_DIR'
  | 'NATS_SERVER_BINARY'
  | 'NATS_SERVER_URL'
  | 'NATS_SERVER_VERSION'
  | 'NATS_SERVER_SHA256'
  | 'MACHINE_ACCESS_FROM'
>

/** The profiles with the files that the settings name. Throws for settings that every cluster would fail with later. */
export function openProfiles(config: ProfileConfig): Profiles {
  const { CLUSTER_PROFILE, K3S_DIR, NATS_SERVER_BINARY, MACHINE_ACCESS_FROM } = config
  const k3s = (name: string) => () => (K3S_DIR ? join(K3S_DIR, name) : undefined)
  const sources = {
    'nats-server': () => natsServerOf(config),
    'k3s/k3s': k3s('k3s'),
    'k3s/install.sh': k3s('install.sh'),
    'k3s/images': () => archivesIn(K3S_DIR)[0],
    'k3s/prometheus': k3s(chartName),
    'k3s/prometheus-images': k3s('prometheus-images.tar.zst')
  }
  const profiles = loadProfiles(profilesDir, sources, { 'nats-server': releaseOf(config) })
  if (!profiles.get(CLUSTER_PROFILE))
    throw new Error(`CLUSTER_PROFILE must be one of ${profiles.names.join(', ')}, not ${CLUSTER_PROFILE}`)
  // Without it hosts would fetch the newest one from outside.
  for (const name of K3S_DIR ? ['k3s', 'install.sh'] : []) {
    if (!existsSync(join(K3S_DIR ?? '', name))) throw new Error(`K3S_DIR: there is no ${name} in ${K3S_DIR}`)
  }
  if (archivesIn(K3S_DIR).length > 1)
    throw new Error(`K3S_DIR: ${K3S_DIR} has archives of images for several processors, and k3s is for one`)
  const chart = join(K3S_DIR ?? '', chartName)
  if (K3S_DIR && existsSync(chart) && statSync(chart).size > mostChartBytes)
    throw new Error(`K3S_DIR: ${chart} has more than ${mostChartBytes} bytes, which Kubernetes does not take`)
  if (NATS_SERVER_BINARY && !existsSync(NATS_SERVER_BINARY))
    throw new Error(`NATS_SERVER_BINARY: there is no ${NATS_SERVER_BINARY}`)
  const [address = '', bits] = MACHINE_ACCESS_FROM.split('/')
  if (!isIPv4(address) || Number(bits) > 32)
    throw new Error('MACHINE_ACCESS_FROM must be an IPv4 range such as 10.0.0.0/8')
  return profiles
}

/** Who names a release wants that one; whatever is on PATH is for those who name nothing. */
function natsServerOf({ NATS_SERVER_BINARY, NATS_SERVER_URL, NATS_SERVER_VERSION }: ProfileConfig): string | undefined {
  if (NATS_SERVER_BINARY) return NATS_SERVER_BINARY
  return NATS_SERVER_URL || NATS_SERVER_VERSION ? undefined : findOnPath('nats-server', process.env.PATH)
}

/** Throws where a setting can be seen to be of no use. */
function releaseOf(config: ProfileConfig): ReleaseWish {
  const { NATS_SERVER_URL: url, NATS_SERVER_VERSION: version, NATS_SERVER_SHA256: sha256 } = config
  if (url && !URL.canParse(url)) throw new Error(`NATS_SERVER_URL: ${url} is no address`)
  return { url, version, sha256 }
}

/** The archives of images as k3s' releases name them; there is one beside the program, or none. */
function archivesIn(dir: string | undefined): string[] {
  if (!dir) return []
  const names = ['amd64', 'arm64', 'arm'].map((processor) => `k3s-airgap-images-${processor}.tar.zst`)
  return names.map((name) => join(dir, name)).filter((path) => existsSync(path))
}
