import { commonConfig, oneOf, type Static, Type } from '@fleetgate/kit'
import { noticeChoices } from './operations/notice.js'

export const Config = Type.Object({
  ...commonConfig,
  /** Bits of a generated RSA key pair. */
  KEY_BITS: Type.Integer({ minimum: 2048, maximum: 8192, default: 3072 }),
  /** How long one attempt to send a mail may take. */
  MAIL_TIMEOUT_MS: Type.Integer({ minimum: 100, default: 30_000 }),
  /** Before the second attempt; each further wait is twice as long, an hour at most. */
  MAIL_RETRY_MS: Type.Integer({ minimum: 10, default: 30_000 }),
  MAIL_MAX_ATTEMPTS: Type.Integer({ minimum: 1, maximum: 100, default: 15 }),
  /** A mail that waits for longer is given up, whatever it waits for. */
  MAIL_GIVE_UP_HOURS: Type.Number({ exclusiveMinimum: 0, default: 168 }),
  /** Days for which a mail is listed, and its messageId known, after its end. */
  MAIL_KEEP_DAYS: Type.Number({ exclusiveMinimum: 0, maximum: 3650, default: 30 }),
  MAIL_SWEEP_MS: Type.Integer({ minimum: 10, default: 1_000 }),
  /** Which ends of operations are mailed to who asked for them and to the cluster's owner, where the tenant has an SMTP server. */
  OPERATION_MAILS: oneOf(noticeChoices, { default: 'all' }),
  /** What is installed where a request names no profile. */
  CLUSTER_PROFILE: Type.String({ default: 'k3s' }),
  /** How long a replica may be silent before another drives its operations on. */
  LEASE_MS: Type.Integer({ minimum: 400, default: 10_000 }),
  SSH_CONNECT_MS: Type.Integer({ minimum: 100, default: 15_000 }),
  /** How long a host may be away in the middle of its work, a restart for one, before it counts as lost. */
  HOST_LOST_MS: Type.Integer({ minimum: 0, default: 180_000 }),
  /** How often the hosts of running clusters are asked how they are. */
  WATCH_MS: Type.Integer({ minimum: 100, default: 60_000 }),
  /** How often marks of keys and registries are compared with what clusters carry; younger ones are left alone. */
  MARK_SWEEP_MS: Type.Integer({ minimum: 50, default: 600_000 }),
  /** Addresses that are not public and may be called all the same where a provider's auth url names them: hosts, addresses, CIDR ranges. */
  PROVIDER_ALLOWED_HOSTS: Type.String({ default: '' }),
  /** In the place of Amazon's own addresses: for clouds that speak EC2's language. */
  EC2_URL: Type.Optional(Type.String({ pattern: '^https?://' })),
  /** In the place of Google's own: of the Compute Engine API, with or without its `/compute/v1`, and for tokens. */
  GOOGLE_COMPUTE_URL: Type.String({ pattern: '^https?://', default: 'https://compute.googleapis.com' }),
  GOOGLE_TOKEN_URL: Type.String({ pattern: '^https?://', default: 'https://oauth2.googleapis.com/token' }),
  /** CIDR from where SSH and the clusters' ports on machines of providers may be reached. */
  MACHINE_ACCESS_FROM: Type.String({ pattern: '^[0-9.]{7,15}/[0-9]{1,2}$', default: '0.0.0.0/0' }),
  /** How long a phase waits for machines to be made, to let us in, or to go. */
  MACHINE_MS: Type.Integer({ minimum: 1_000, default: 600_000 }),
  MACHINE_POLL_MS: Type.Integer({ minimum: 20, default: 5_000 }),
  /** The program that the profile nats brings to its hosts; by default the one on PATH, and where there is none hosts fetch a release. */
  NATS_SERVER_BINARY: Type.Optional(Type.String()),
  /** Where hosts fetch a release: `{version}` and `{arch}` (`amd64`, `arm64`, …) stand for the two. No log-in in it: it is shown. */
  NATS_SERVER_URL: Type.Optional(Type.String({ pattern: '^https?://[^\\s@]+$', maxLength: 500 })),
  NATS_SERVER_VERSION: Type.Optional(Type.String({ pattern: '^v?\\d+\\.\\d+\\.\\d+(-[0-9A-Za-z.]{1,30})?$' })),
  /** Of the archives, for versions other than our own: `amd64=…,arm64=…`; by default those that stand beside them, over https. */
  NATS_SERVER_SHA256: Type.Optional(
    Type.String({ pattern: '^[0-9a-z]{1,20}=[0-9a-f]{64}(,[0-9a-z]{1,20}=[0-9a-f]{64})*$' })
  ),
  /** Room on each master for what JetStream keeps. */
  NATS_STORE_MB: Type.Integer({ minimum: 16, default: 1_024 }),
  /** A folder with `k3s`, `install.sh` and, if wished, `k3s-airgap-images-amd64.tar.zst`, `prometheus.tgz` and `prometheus-images.tar.zst`; without it hosts fetch k3s themselves. */
  K3S_DIR: Type.Optional(Type.String()),
  /** For hosts that fetch k3s themselves, such as v1.33.4+k3s1; by default the stable channel. */
  K3S_VERSION: Type.Optional(Type.String({ pattern: '^v[0-9A-Za-z.+-]{1,40}$' }))
})
export type Config = Static<typeof Config>
