import ssh2 from 'ssh2'

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
  const sealed = passphrase === undefined ? {} : { passphrase, cipher: 'aes256-ctr', rounds: 16 }
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment, ...sealed })
    if (!(ssh2.utils.parseKey(pair.private, passphrase) instanceof Error)) return pair
  }
}
