import { createPrivateKey } from 'node:crypto'
import { bad, readerOf } from '../fields.js'
import type { Settings } from '../providerFields.js'

/** As Google's SDK takes it. */
export interface ServiceAccount {
  email: string
  /** PEM. */
  key: string
}

export interface GoogleImage {
  /** `projects/…/global/images/…`, of a family too. */
  path: string
  /** Not there: that of the settings. */
  project: string | undefined
  isFamily: boolean
  name: string
}

export interface GoogleSettings {
  account: ServiceAccount
  project: string
  zone: string
  machineType: string
  image: GoogleImage
  network: string
  subnetwork: string
  user: string
  /** GB; 0 for what the image has. */
  diskSize: number
  diskType: string
  isPrivate: boolean
  /** Network tags. */
  tags: string[]
  /** Whom programs on the machines act as at Google; nobody otherwise. */
  serviceAccount: { email: string; scopes: string[] } | undefined
}

const label = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const path = /^[A-Za-z0-9_.:/-]{1,512}$/
const scopeStart = 'https://www.googleapis.com/auth/'
/** As docker-machine asked for. */
const defaultScopes = ['devstorage.read_only', 'logging.write', 'monitoring.write']

/** Throws `invalid_input` with the field that is missing or wrong. */
export function readGoogle(settings: Settings, credentials: string, user: string): GoogleSettings {
  const read = readerOf(settings)
  return {
    account: accountOf(credentials),
    project: read.text('google-project', /^[a-z0-9.:-]{1,100}$/),
    zone: read.text('google-zone', label),
    machineType: read.text('google-machine-type', label),
    image: imageOf(read.text('google-machine-image', path)),
    network: read.optional('google-network', path) || 'default',
    subnetwork: read.optional('google-subnetwork', path),
    user,
    diskSize: read.whole('google-disk-size'),
    diskType: read.optional('google-disk-type', label) || 'pd-standard',
    isPrivate: read.isTrue('google-use-internal-ip'),
    tags: read.words('google-tags', label),
    serviceAccount: machinesAccount(settings)
  }
}

export function networkPath(network: string): string {
  return network.includes('/') ? network : `global/networks/${network}`
}

/** As docker-machine took it: `project/global/images/name`, with or without what stands before it. */
function imageOf(text: string): GoogleImage {
  const bare = text.replace(/^https:\/\/[^/]+\/compute\/[a-z0-9]+\//, '').replace(/^\/+/, '')
  const path = bare.startsWith('projects/') || bare.startsWith('global/') ? bare : `projects/${bare}`
  const [, project, family, name] = /^(?:projects\/([^/]+)\/)?global\/images\/(family\/)?([^/]+)$/.exec(path) ?? []
  if (!name)
    throw bad('google-machine-image', 'must be of the form project/global/images/name, or …/images/family/name')
  return { path, project, isFamily: family !== undefined, name }
}

function machinesAccount(settings: Settings): GoogleSettings['serviceAccount'] {
  const read = readerOf(settings)
  const email = read.optional('google-service-account', /^(?:default|[a-z0-9][a-z0-9.-]{0,99}@[a-z0-9.-]{1,100})$/)
  const scopes = read.words('google-scopes', /^(?:https:\/\/www\.googleapis\.com\/auth\/)?[a-z0-9._-]{1,100}$/)
  if (email === '' && scopes.length > 0)
    throw bad('google-service-account', 'is required where google-scopes are given')
  if (email === '') return undefined
  const wanted = scopes.length > 0 ? scopes : defaultScopes
  return { email, scopes: wanted.map((one) => (one.startsWith(scopeStart) ? one : `${scopeStart}${one}`)) }
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
    const { type, client_email, private_key } = JSON.parse(text) as Record<string, unknown>
    if (type !== 'service_account' || typeof client_email !== 'string' || typeof private_key !== 'string')
      throw new Error('no key')
    const key = createPrivateKey(private_key)
    if (key.asymmetricKeyType !== 'rsa') throw new Error('no RSA key')
    return { email: client_email, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() }
  } catch (cause) {
    throw bad(field, 'must be the JSON file of a service account key, or base64 of it', cause)
  }
}
