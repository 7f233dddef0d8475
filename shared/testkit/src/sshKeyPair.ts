import { createRequire } from 'node:module'

export interface SshKeyPairOptions {
  comment?: string
  /** Seals the private key. */
  passphrase?: string
}

/**
 * An Ed25519 pair in OpenSSH's form. ssh2 1.17 writes about three in a thousand private keys so that nobody can read them,
 * itself included: those are made anew.
 */
export function sshKeyPair({ comment = '', passphrase }: SshKeyPairOptions = {}): { private: string; public: string } {
  // Most tests have nothing to do with it, and it takes a while to load.
  const { utils } = createRequire(import.meta.url)('ssh2') as typeof import('ssh2')
  const sealed = passphrase === undefined ? {} : { passphrase, cipher: 'aes256-ctr', rounds: 16 }
  for (;;) {
    const pair = utils.generateKeyPairSync('ed25519', { comment, ...sealed })
    if (!(utils.parseKey(pair.private, passphrase) instanceof Error)) return pair
  }
}
