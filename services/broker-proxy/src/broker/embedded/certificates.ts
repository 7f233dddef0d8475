import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { Log } from '@fleetgate/contracts'

/** PEM files. */
export interface TlsFiles {
  certFile: string
  keyFile: string
  /** Clients must have a certificate of this authority. */
  clientCaFile?: string | undefined
  /** How often the files are looked at. */
  lookEveryMs?: number
}

export interface RenewableServer {
  setSecureContext(options: SecureContextOptions): void
}

const lookEveryMs = 10_000

export function readCertificates({ certFile, keyFile, clientCaFile }: TlsFiles) {
  const ca = clientCaFile ? { ca: readFileSync(clientCaFile) } : {}
  return { cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion: 'TLSv1.2' as const, ...ca }
}

/**
 * Gives renewed certificates to handshakes from then on; connections that are there stay. Files are replaced one after the other:
 * as long as they do not fit together the old ones go on. Looks by time and through links, as secrets of Kubernetes are replaced.
 */
export function renewCertificates(servers: readonly RenewableServer[], files: TlsFiles, log: Log): () => void {
  const paths = [files.certFile, files.keyFile, ...(files.clientCaFile ? [files.clientCaFile] : [])]

  function renew(): void {
    try {
      const read = readCertificates(files)
      createSecureContext(read)
      for (const server of servers) server.setSecureContext(read)
      log.info({ certFile: files.certFile }, 'certificate renewed')
    } catch (err) {
      log.warn({ err, certFile: files.certFile }, 'changed certificate cannot be used, the old one goes on')
    }
  }

  for (const path of paths) watchFile(path, { interval: files.lookEveryMs ?? lookEveryMs, persistent: false }, renew)
  return () => {
    for (const path of paths) unwatchFile(path, renew)
  }
}
