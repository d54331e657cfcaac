package graph

import (
	"kelian/file"
	"kelian/graph/model"
)

func fileOf(f file.File) model.File {
	return model.File{ID: f.ID.TypeID(file.RefFile), Name: f.Name, Size: float64(f.Size), MediaType: f.MediaType, Sha256: f.SHA256, URL: f.Path()}
}
