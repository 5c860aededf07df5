"""Volumes, cine stacks and single medical pictures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813

from engine.protocol.schema import FieldKind
from tests.end_to_end.real_files.making import RealFiles, body, heart, organs, shipped
from tests.engine.data.importers.dicom_files import write_enhanced, write_series

MM = (1.5, 1.5, 2.0)  # x, y, z


def ct_series(folder: Path) -> None:
    """Write two CT series slice by slice."""
    for number in range(2):
        voxels = (body(number)[::-1, ::-1] + 1024).clip(0).astype(np.uint16)
        write_series(folder / f"patient{number}", voxels, step=2.0, PatientID=f"P{number}", PixelSpacing=[1.5, 1.5],
                     SeriesInstanceUID=f"1.2.3.{number}", StudyInstanceUID=f"1.2.4.{number}")  # fmt: skip


def sitk_image(values: np.ndarray[Any, Any]) -> sitk.Image:
    """Return (D, H, W), stored towards head, front and right, as SimpleITK has it: towards left and back."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(values[:, ::-1, ::-1]))
    image.SetSpacing(MM)
    image.SetOrigin((-100.0, -100.0, 40.0))
    return image


def nifti_with_organs(folder: Path) -> None:
    """Write NIfTI images with label maps beside them."""
    affine = np.diag([*MM, 1.0])
    for number in range(2):
        for name, values in (("ct", body(number)), ("ct_seg", organs(number).astype(np.int16))):
            image = nibabel.Nifti1Image(values.transpose(2, 1, 0), affine)
            image.header.set_xyzt_units("mm")
            nibabel.save(image, folder / f"case{number}_{name}.nii.gz")


def shipped_nifti(folder: Path) -> None:
    """Copy the anatomical scan that nibabel ships."""
    shutil.copy(shipped("nibabel", "tests", "data", "anatomical.nii"), folder / "anatomical.nii")


def nrrd(folder: Path) -> None:
    """Write NRRD files."""
    for number in range(2):
        sitk.WriteImage(sitk_image(body(number)), folder / f"case{number}.nrrd", useCompression=True)


def metaimage(folder: Path) -> None:
    """Write MetaImage files, header and data apart."""
    for number in range(2):
        sitk.WriteImage(sitk_image(body(number)), folder / f"case{number}.mhd")


def numpy_volumes(folder: Path) -> None:
    """Write plain arrays."""
    for number in range(2):
        np.save(folder / f"case{number}.npy", body(number))


def shipped_slices(folder: Path) -> None:
    """Copy the CT and MR slices that pydicom ships."""
    for name in ("CT_small.dcm", "MR_small.dcm"):
        shutil.copy(shipped("pydicom", "data", "test_files", name), folder / name)


def shipped_pictures(folder: Path) -> None:
    """Copy the pictures that pydicom ships: colour, palette, overlay."""
    for name in ("examples_rgb_color.dcm", "examples_palette.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm"):
        shutil.copy(shipped("pydicom", "data", "test_files", name), folder / name)


def enhanced_mr(folder: Path) -> None:
    """Write an enhanced MR file of a beating heart."""
    values = heart().astype(np.uint16) * 4
    write_enhanced(folder / "sax.dcm", values.reshape(-1, *values.shape[-2:]), times=len(values))


def nifti_cine(folder: Path) -> None:
    """Write 4D NIfTI files with a time of each frame."""
    for number in range(2):
        image = nibabel.Nifti1Image(heart(number).transpose(3, 2, 1, 0), np.diag([1.4, 1.4, 8.0, 1.0]))
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 0.04
        nibabel.save(image, folder / f"heart{number}.nii.gz")


MEDICAL = (
    RealFiles("ct-dicom", FieldKind.VOLUME, ct_series, "VolumeViewer"),
    RealFiles("nifti-organs", FieldKind.VOLUME, nifti_with_organs, "VolumeViewer"),
    RealFiles("nifti-shipped", FieldKind.VOLUME, shipped_nifti, "VolumeViewer"),
    RealFiles("nrrd", FieldKind.VOLUME, nrrd, "VolumeViewer"),
    RealFiles("metaimage", FieldKind.VOLUME, metaimage, "VolumeViewer"),
    RealFiles("numpy-volumes", FieldKind.VOLUME, numpy_volumes, "VolumeViewer", asked="volume"),
    RealFiles("dicom-slices", FieldKind.VOLUME, shipped_slices, "VolumeViewer"),
    RealFiles("dicom-pictures", FieldKind.IMAGE, shipped_pictures, "ImageViewer"),
    RealFiles("mr-enhanced", FieldKind.CINE, enhanced_mr, "VolumeViewer"),
    RealFiles("nifti-cine", FieldKind.CINE, nifti_cine, "VolumeViewer", asked="cine"),
)
