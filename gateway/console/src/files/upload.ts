import { ask, query } from '../api.js'

/** A row of `/v1/files` */
export interface StoredFile {
  sha256: string
  fileName: string
  size: number
  createdAt: number
}

/** Puts a file into the central store; content that is there already keeps its name. */
export function upload(file: File): Promise<StoredFile> {
  return ask<StoredFile>(`/v1/files${query({ fileName: file.name })}`, { method: 'POST', file })
}
