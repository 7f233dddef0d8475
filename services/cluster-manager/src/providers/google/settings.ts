import { createPrivateKey, type KeyObject } from 'node:crypto'
import { bad, readerOf } from '../fields.js'
import type { Settings } from '../providerFields.js'

export interface ServiceAccount {
  email: string
  key: KeyObject
  keyId: string
}

export interface GoogleSettings {
  account: ServiceAccount
  project: string
  zone: string
  machineType: string
  /** `projects/…/global/images/…`, of a family too. */
  image: string
  network: string
  subnetwork: string
  user: string
  /** GB; 0 for what the image has. */
  diskSize: number
  diskType: string
  isPrivate: boolean
  /** Network tags. */
  tags: string[]
}

const label = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const path = /^[A-Za-z0-9_.:/-]{1,512}$/

/** Throws `invalid_input` with the field that is missing or wrong. */
export function readGoogle(settings: Settings, credentials: string, user: string): GoogleSettings {
  const read = readerOf(settings)
  return {
    account: accountOf(credentials),
    project: read.text('google-project', /^[a-z0-9.:-]{1,100}$/),
    zone: read.text('google-zone', label),
    machineType: read.text('google-machine-type', label),
    image: imagePath(read.text('google-machine-image', path)),
    network: read.optional('google-network', path) || 'default',
    subnetwork: read.optional('google-subnetwork', path),
    user,
    diskSize: read.whole('google-disk-size'),
    diskType: read.optional('google-disk-type', label) || 'pd-standard',
    isPrivate: read.isTrue('google-use-internal-ip'),
    tags: read.words('google-tags', label)
  }
}

export function networkPath(network: string): string {
  return network.includes('/') ? network : `global/networks/${network}`
}

/** As docker-machine took it: `project/global/images/name`, with or without what stands before it. */
function imagePath(text: string): string {
  const bare = text.replace(/^https:\/\/[^/]+\/compute\/[a-z0-9]+\//, '').replace(/^\/+/, '')
  return bare.startsWith('projects/') || bare.startsWith('global/') ? bare : `projects/${bare}`
}

/**
 * Only the key of a service account, as its file holds it: other kinds of credentials name files, programs and addresses to
 * be read, which nobody is to choose for this machine. The addresses in the file are not looked at.
 */
function accountOf(credentials: string): ServiceAccount {
  const field = 'google-application-credentials'
  if (credentials === '') throw bad(field, 'is required to make machines')
  try {
    const text = credentials.trim().startsWith('{') ? credentials : Buffer.from(credentials, 'base64').toString('utf8')
    const { type, client_email, private_key, private_key_id } = JSON.parse(text) as Record<string, unknown>
    if (type !== 'service_account' || typeof client_email !== 'string' || typeof private_key !== 'string')
      throw new Error('no key')
    return { email: client_email, key: createPrivateKey(private_key), keyId: String(private_key_id ?? '') }
  } catch (cause) {
    throw bad(field, 'must be the JSON file of a service account key, or base64 of it', cause)
  }
}
